"""Closed forms against the traced code: a sample of the grid on each run, and the page that shows all of it."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.trace.both_engines import Outcome, compare
from tests.trace.differences_page import figures
from tests.trace.grid import FAMILIES, grid
from tests.trace.rules_against_trace import sample

PAGE = Path(__file__).parents[2] / "docs" / "rules-against-trace.md"
MEDIAN, WORST = 0.01, 0.05
IN_BAND = 0.95
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers', PEFT's and torch's own


@cache
def outcomes() -> tuple[Outcome, ...]:
    """The sample, by both engines."""
    return tuple(compare(case) for case in sample())


def test_the_grid_is_wide() -> None:
    """At least 300 different runs, and every family and method in the sample."""
    cases = grid()
    assert len({case.name for case in cases}) >= 300
    assert {case.family for case in sample()} == set(FAMILIES)
    assert len({case.run.method for case in sample()}) == 3


def test_allocated_of_a_sample() -> None:
    """Live memory at the peak: the median run is apart by at most 1 %, the worst by at most 5 %."""
    median, _, worst = figures(outcomes(), "allocated")
    assert median <= MEDIAN
    assert worst <= WORST


def test_no_run_is_outside_the_page() -> None:
    """No run of the sample is further apart than the page says of the worst of all, in any tier."""
    for tier in ("allocated", "reserved", "process"):
        shown = re.search(rf"^\| {tier} \| (\d+) \|.*\| ([\d.]+) % \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        assert shown is not None
        assert int(shown[1]) == len(grid())
        assert figures(outcomes(), tier)[2] <= float(shown[2]) / 100 + 0.001


def test_the_page_holds_the_promise() -> None:
    """Over the whole grid allocated is apart by at most 1 % in the median and 5 % in the worst run, as the page shows."""
    shown = re.search(
        r"^\| allocated \| \d+ \| ([\d.]+) % \| [\d.]+ % \| ([\d.]+) % \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert shown is not None
    assert float(shown[1]) <= 100 * MEDIAN
    assert float(shown[2]) <= 100 * WORST


def test_the_band_holds_what_the_allocator_does() -> None:
    """The trace's process tier lies within the rules' band in 95 % of all runs, as the page shows, and so it does in the sample."""
    shown = re.search(r"lies within that band in\s+(\d+) of (\d+) runs", PAGE.read_text("utf-8"))
    assert shown is not None
    assert int(shown[1]) >= IN_BAND * int(shown[2])
    assert sum(outcome.within for outcome in outcomes()) >= IN_BAND * len(outcomes()) - 1
