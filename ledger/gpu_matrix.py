"""
Measure the matrix on this machine's GPU, each case in a process of its own.

    python -m ledger.gpu_matrix [--seconds 570] [--ledger ledger/gpu.jsonl]

Cases that the ledger has for this device and these packages are skipped, so that a second call goes on where the first
stopped. Exits with 2 where there is no CUDA GPU. Then `python -m ledger.compare` prints the table.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ledger.machine import PACKAGES, device_of
from ledger.matrix import Case, matrix, sized
from ledger.processes import Processes, WorkerError
from ledger.rows import LEDGER, Card, Reading, Row, append, read
from vramcast.domain.device import Device

SECONDS = 570.0
LONGEST = 90.0  # seconds of one case
SHORTEST = 15.0  # with less left none is begun
SMALL = 0.12  # part of the card that a case with a snapshot fills at most
SNAPSHOTS = 2
Measured = tuple[tuple[Reading, ...], float]
Measure = Callable[[Case, str, float], Measured]


def pending(cases: Iterable[Case], rows: Iterable[Row], card: Card, versions: Mapping[str, str]) -> list[Case]:
    """Cases without a row on this device and these packages; those that failed come once more, at the end."""
    mine = [row for row in rows if row.card.name == card.name and row.versions == dict(versions)]
    done = {row.case for row in mine if not row.error}
    failed = {row.case for row in mine} - done
    left = [case for case in cases if case.name not in done]
    return sorted(left, key=lambda case: case.name in failed)


def snapshots(cases: Iterable[Case]) -> dict[str, str]:
    """File names of the cases whose allocator is recorded: the first small ones, of different methods."""
    named: dict[str, str] = {}
    for case in cases:
        if case.fill <= SMALL and case.run.method not in named and len(named) < SNAPSHOTS:
            named[case.run.method] = case.name
    return {name: f"snapshots/{name.replace(' ', '-').replace('%', '')}.pickle" for name in named.values()}


def run_matrix(
    cases: Iterable[Case], card: Card, versions: Mapping[str, str], ledger: Path, measure: Measure, seconds: float
) -> int:
    """Measure what is pending until `seconds` are over; a row for each. Returns how many were measured."""
    began, measured, device = time.monotonic(), 0, device_of(card)
    named = snapshots(cases := list(cases))
    for case in pending(cases, read(ledger), card, versions):
        left = seconds - (time.monotonic() - began)
        if left < SHORTEST:
            break
        found = _row(case, device, card, versions, named.get(case.name, ""), measure, min(left, LONGEST))
        append(ledger, found)
        measured += not found.error
        sys.stderr.write(f"{case.name}: {found.error or f'{found.seconds:.1f} s'}\n")
    return measured


def _row(
    case: Case,
    device: Device,
    card: Card,
    versions: Mapping[str, str],
    snapshot: str,
    measure: Measure,
    limit: float,
) -> Row:
    fitting = sized(case, device)
    row = Row(
        case=case.name,
        config=(fitting or case).config,
        run=case.run,
        stack=case.stack,
        card=card,
        versions=versions,
    )
    if fitting is None:
        return replace(row, error="too large for this card")
    try:
        readings, seconds = measure(fitting, snapshot, limit)
    except WorkerError as error:
        return replace(row, error=str(error))
    return replace(row, readings=readings, seconds=seconds, snapshot=snapshot)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m ledger.gpu_matrix", description="Measure real steps on this GPU.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    asked = parser.parse_args(arguments)
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"ledger-gpu needs {', '.join(missing)}: pip install 'vramcast[trace]' with torch for CUDA\n")
        return 2
    began = time.monotonic()
    processes = Processes(folder=asked.ledger.parent)
    card, versions = processes.look()
    if card is None:
        sys.stderr.write("ledger-gpu needs a CUDA GPU: there is none here\n")
        return 2
    left = asked.seconds - (time.monotonic() - began)
    run_matrix(matrix(), card, versions, asked.ledger, processes.measure, left)
    return 0


if __name__ == "__main__":
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # asking for a GPU must not wake CUDA before a fork
    sys.exit(main(sys.argv[1:]))
