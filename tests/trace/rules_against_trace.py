"""
Rules against trace over the whole grid: `python -m tests.trace.rules_against_trace docs/rules-against-trace.md`.

Rewrites the page that it is given.
"""

import sys
import warnings
from multiprocessing import get_context
from pathlib import Path

from tests.trace.both_engines import Outcome, compare
from tests.trace.differences_page import page
from tests.trace.grid import Case, grid

PROCESSES = 2
SAMPLE_STEP = 13  # every thirteenth case, so that families and methods take turns


def sample() -> tuple[Case, ...]:
    """The cases that every run of the tests looks at."""
    return grid()[::SAMPLE_STEP]


def main(path: str) -> None:
    """Run every case of the grid in both engines, and write the page."""
    cases = grid()
    found: list[Outcome] = []
    with get_context("spawn").Pool(PROCESSES, initializer=warnings.simplefilter, initargs=("ignore",)) as pool:
        for outcome in pool.imap(compare, cases):
            found.append(outcome)
            sys.stderr.write(f"\r{len(found)} of {len(cases)} ")
            sys.stderr.flush()
    Path(path).write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
