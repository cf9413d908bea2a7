"""The table of models that trace is true."""

import re

import pytest

from tests.trace.coverage import PAGE, step
from tests.trace.coverage_configs import CAUSES, TYPES

ROWS = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:])
AIM = 0.95
SAMPLE = TYPES[::16]


def test_the_table_has_every_type() -> None:
    """Each type of the installed transformers has a row, and each that does not trace has its cause."""
    assert list(ROWS) == TYPES
    failed = {kind: said.removeprefix("no: ") for kind, said in ROWS.items() if said.startswith("no: ")}
    assert failed == CAUSES
    assert 1 - len(failed) / len(TYPES) >= AIM


@pytest.mark.parametrize("kind", SAMPLE)
def test_a_sample_traces(kind: str) -> None:
    """Types from the whole table run as it says."""
    assert step(kind).row.endswith(f"| {ROWS[kind]} |")


@pytest.mark.parametrize("kind", CAUSES)
def test_what_does_not_trace_does_not(kind: str) -> None:
    """No type is left out that would run."""
    assert step(kind).error
