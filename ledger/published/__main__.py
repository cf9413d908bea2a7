"""
The ledger's table.

    python -m ledger.published [--engine trace] [--source NAME]

predicts every row by closed forms, prints the table and writes docs/ledger.md and what it says to recorded.json. `--engine trace`
also asks the trace, for training rows alone: minutes. With `--source` nothing is written, and each row of that source is printed.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ledger.published.forecasts import Apart, Refused, compare
from ledger.published.page import page
from ledger.published.row import Published, read_rows
from ledger.published.summary import grouped, record
from vramcast.domain.forecast import Engine
from vramcast.units import GIB

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"


def main(words: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ledger.published", description=__doc__)
    parser.add_argument("--engine", type=Engine, choices=tuple(Engine), default=Engine.RULES)
    parser.add_argument("--source", help="one source's rows, each with its numbers")
    asked = parser.parse_args(words)
    rows = read_rows()
    if asked.source:
        return _print_rows([row for row in rows if row.group == asked.source], asked.engine)
    found = list(compare(rows, Engine.RULES))
    answers = [one for one in found if isinstance(one, Apart)]
    if asked.engine is Engine.TRACE:
        answers += [one for one in compare(rows, Engine.TRACE) if isinstance(one, Apart)]
    text = page(rows, found, record(grouped(answers)).values())
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def _print_rows(rows: Iterable[Published], engine: Engine) -> int:
    for one in compare(rows, engine):
        sys.stdout.write(f"{_words(one)}\n")
        sys.stdout.flush()
    return 0


def _words(one: Apart | Refused) -> str:
    if isinstance(one, Refused):
        return f"{one.row.id}: {one.reason}"
    said = {None: "", True: "fits", False: "does not fit"}[one.fits]
    if one.measured is None:
        return f"{one.row.id}: {said}, and it {'failed' if one.row.failed else 'ran'}"
    sizes = f"{one.measured.bytes / GIB:.3f} GiB measured, {one.predicted / GIB:.3f} predicted"
    return f"{one.row.id}: {one.measured.tier} {sizes}, {one.error:+.2%} {said}"


if __name__ == "__main__":
    sys.exit(main())
