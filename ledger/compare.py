"""
Predicted against measured, tier by tier, for every row of the ledger.

    python -m ledger.compare [LEDGER]      prints the tables, and how the recorded allocators replay
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ledger.machine import device_of, stack_of
from ledger.rows import LEDGER, Row, read
from vramcast.app.predict import predict
from vramcast.domain.errors import VramcastError
from vramcast.domain.forecast import Engine, Tiers
from vramcast.sources.read import read_config
from vramcast.trace.forecast import forecast, trace_run
from vramcast.trace.snapshot import read_snapshot
from vramcast.trace.snapshot_replay import compare_with
from vramcast.units import GIB

TIERS = ("allocated", "reserved", "process")
AIMS = {"allocated": (0.005, 0.02), "reserved": (None, 0.04), "process": (None, 0.05)}
HEAD = "| engine | tier | rows | median | worst | aim | worst row |\n|---|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """One row by one engine: predicted and measured bytes of each tier, or why the engine has no answer."""

    row: Row
    engine: Engine
    predicted: Tiers | None
    error: str = ""

    def error_of(self, tier: str) -> float:
        """(predicted - measured) / measured."""
        return int(getattr(self.predicted, tier)) / self.row.peak(tier) - 1


def predicted(row: Row, engine: Engine) -> Tiers:
    """
    What `engine` says of the row's run.

    Raises:
        VramcastError: it does not know the run.
    """
    device, stack = device_of(row.card), stack_of(row.stack, row.versions)
    model = read_config(row.config, row.case)
    if engine is Engine.RULES:
        return predict(model, row.run, device, stack=stack).tiers
    return forecast(model, trace_run(row.config, row.run, stack, device), row.run, stack, device, ()).tiers


def compare(rows: Iterable[Row]) -> Iterator[Apart]:
    """Each measured row by both engines; the last of each case, if it was measured twice."""
    latest = {row.key: row for row in rows if not row.error}
    for row in latest.values():
        for engine in Engine:
            try:
                yield Apart(row=row, engine=engine, predicted=predicted(row, engine))
            except VramcastError as error:
                yield Apart(row=row, engine=engine, predicted=None, error=error.what)


def summary(found: Sequence[Apart]) -> str:
    """Median and worst of each engine and tier."""
    lines = [HEAD]
    for engine in Engine:
        known = [one for one in found if one.engine is engine and one.predicted]
        for tier in TIERS if known else ():
            worst = max(known, key=lambda one: abs(one.error_of(tier)))
            middle = median(abs(one.error_of(tier)) for one in known)
            aim = " / ".join(f"{part:.1%}" if part else "—" for part in AIMS[tier])
            cells = (
                engine,
                tier,
                str(len(known)),
                f"{middle:.2%}",
                f"{worst.error_of(tier):+.2%}",
                aim,
                worst.row.case,
            )
            lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def details(found: Sequence[Apart]) -> str:
    """Each row: measured GiB of the tiers, and how far each engine is from them."""
    lines = ["| case | layers | card | measured, GiB | rules | trace |\n|---|---|---|---|---|---|\n"]
    for rules, trace in zip(found[::2], found[1::2], strict=True):
        row = rules.row
        measured = " / ".join(f"{row.peak(tier) / GIB:.2f}" for tier in TIERS)
        layers = row.config.get("num_hidden_layers", "")
        cells = (row.case, str(layers), row.card.name, measured, _errors(rules), _errors(trace))
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def _errors(one: Apart) -> str:
    return one.error or " / ".join(f"{one.error_of(tier):+.2%}" for tier in TIERS)


def replayed(rows: Iterable[Row], folder: Path) -> Iterator[str]:
    """What the simulated allocator makes of each recorded one."""
    for name in dict.fromkeys(row.snapshot for row in rows if row.snapshot and not row.error):
        one = compare_with(read_snapshot(folder / name))
        outcome = "the same segments" if one.equal else f"{len(one.misplaced)} blocks elsewhere"
        reserved, active = (f"{simulated / real - 1:+.2%}" for real, simulated in (one.reserved, one.active))
        yield f"- {name}: {len(one.recording.timeline.events)} events, {outcome}, reserved {reserved}, active {active}\n"


def main(path: Path) -> int:
    """The command."""
    rows = list(read(path))
    failed = [f"- {row.case}: {row.error}\n" for row in rows if row.error]
    found = list(compare(rows))
    if not found:
        sys.stderr.write(f"{path}: nothing is measured; make ledger-gpu does\n")
        return 2
    parts = (summary(found), "\n", details(found), "\n", *replayed(rows, path.parent), *failed)
    sys.stdout.write("".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else LEDGER))
