"""A measured step as a line of JSON."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from ledger.compare import Apart, compare, details, main, replayed, summary
from ledger.cuda import compact
from ledger.machine import device_of, stack_of
from ledger.matrix import Case, matrix
from ledger.rows import Card, Reading, Row, append, read

from tests.timelines import Program
from vramcast.domain.forecast import Engine, Tiers
from vramcast.domain.run import Method
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.plain_pickle import loads_plain
from vramcast.trace.replay import replay
from vramcast.trace.snapshot_writer import simulated_snapshot, write_snapshot
from vramcast.units import MIB

CARD = Card(name="NVIDIA H100 80GB HBM3", memory=80 * 10**9, context=500, capability=(9, 0), multiprocessors=132)
VERSIONS = {"torch": "2.13.0+cu130", "transformers": "5.23.0"}
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


def row_of(case: Case, **changes: object) -> Row:
    """A row of a small model of the case's family with two readings."""
    readings = (
        Reading(phase="forward", name="step 1 forward", allocated=900, reserved=1000, process=1600),
        Reading(phase="backward", name="step 1 backward", allocated=950, reserved=1100, process=1500),
    )
    row = Row(
        case=case.name,
        config=replace(case, layers=2).config | SMALL | {"num_hidden_layers": 2},
        run=case.run,
        stack=case.stack,
        card=CARD,
        versions=VERSIONS,
        readings=readings,
        seconds=1.5,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", list(Method))
def test_what_is_written_is_read_back(method: Method, tmp_path: Path) -> None:
    """Runs, formats, adapters, cards and readings survive the file, line by line."""
    rows = [row_of(case) for case in matrix() if case.run.method is method]
    for row in rows:
        append(tmp_path / "gpu.jsonl", row)
    assert list(read(tmp_path / "gpu.jsonl")) == rows


def test_no_file_holds_no_rows(tmp_path: Path) -> None:
    """A ledger that was never written is empty, and comparing it says so in one line."""
    assert list(read(tmp_path / "none.jsonl")) == []
    assert main(tmp_path / "none.jsonl") == 2


def test_a_peak_is_the_most_of_any_phase() -> None:
    """Each tier has its own worst phase."""
    row = row_of(matrix()[0])
    assert (row.peak("allocated"), row.peak("reserved"), row.peak("process")) == (950, 1100, 1600)


def test_the_engines_hear_of_the_real_card_and_software() -> None:
    """The catalog's device by torch's name, with torch's figures; an unknown one by its memory; the versions that ran."""
    assert device_of(CARD).name == "h100-80gb-sxm"
    assert device_of(CARD).multiprocessors == 132
    unknown = device_of(replace(CARD, name="Unknown 9000"))
    assert (unknown.memory, unknown.capability) == (80 * 10**9, (9, 0))
    assert dict(stack_of("torch", VERSIONS).versions)["torch"] == "2.13.0+cu130"
    assert stack_of("torch", VERSIONS).kept_workspace
    assert not stack_of("torch", {"torch": "2.15.1"}).kept_workspace


def test_errors_are_relative_to_what_was_measured() -> None:
    """A prediction of 5 % more in one row and 1 % less in another: median 3 %, worst +5 %."""
    first, second = (row_of(case) for case in matrix()[:2])
    over, under = (Tiers(allocated=size, reserved=size, process=size, low=size, high=size) for size in (1155, 1089))
    found = [
        Apart(row=row, engine=engine, predicted=tiers)
        for row, tiers in ((first, over), (second, under))
        for engine in Engine
    ]
    line = next(line for line in summary(found).splitlines() if line.startswith("| rules | reserved"))
    assert line == f"| rules | reserved | 2 | 3.00% | +5.00% | — / 4.0% | {first.case} |"
    assert "-1.00%" in details(found).splitlines()[3]


def test_a_row_is_predicted_by_both_engines() -> None:
    """From a row alone both engines answer; a failed row is passed over; of two measurements the last counts."""
    case = next(case for case in matrix() if case.run.method is Method.LORA and case.family == "llama")
    row = row_of(case)
    found = list(compare([row_of(case, seconds=9.0), row, row_of(matrix()[1], error="out of memory")]))
    assert [one.engine for one in found] == list(Engine)
    assert all(one.predicted and one.row is row for one in found)
    apart = found[0].error_of("allocated") / found[1].error_of("allocated")
    assert abs(apart - 1) < 0.05


def test_a_recorded_allocator_is_replayed(tmp_path: Path) -> None:
    """A compact snapshot beside the ledger is read, replayed, and lands on its own segments; a failed row's is not looked for."""
    program = Program()
    first = program.ask(30 * MIB)
    program.ask(5 * MIB)
    program.give(first)
    program.ask(12 * MIB)
    snapshot = simulated_snapshot(program.timeline, replay(program.timeline), AllocatorSettings())
    raw = compact(loads_plain(write_snapshot(snapshot)))
    (tmp_path / "one.pickle").write_bytes(pickle.dumps(raw))
    rows = [row_of(matrix()[0], snapshot="one.pickle"), row_of(matrix()[1], snapshot="two.pickle", error="died")]
    assert list(replayed(rows, tmp_path)) == [
        "- one.pickle: 4 events, the same segments, reserved +0.00%, active +0.00%\n"
    ]


def test_the_command_prints_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of each tier by both engines, each row, and what failed."""
    path = tmp_path / "gpu.jsonl"
    append(path, row_of(matrix()[0]))
    append(path, row_of(matrix()[1], error="died"))
    assert main(path) == 0
    printed = capsys.readouterr().out
    assert [line.split(" | ")[1] for line in printed.splitlines()[2:8]] == ["allocated", "reserved", "process"] * 2
    assert f"| {matrix()[0].name} | 2 |" in printed
    assert f"- {matrix()[1].name}: died\n" in printed
