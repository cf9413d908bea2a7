"""Snapshots of `torch.cuda.memory._dump_snapshot`: what is read, and what is refused."""

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.timelines import Program
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.plain_pickle import LARGEST, loads_plain
from vramcast.trace.replay import replay
from vramcast.trace.snapshot import Entry, Frame, read_snapshot, snapshot_of
from vramcast.trace.snapshot_replay import compare_with
from vramcast.trace.snapshot_writer import simulated_snapshot, write_snapshot
from vramcast.units import MIB

BASE = 0x7F0000000000


def block(address: int, size: int, requested: int, state: str) -> dict[str, Any]:
    """A block as torch dumps it."""
    return {"address": address, "size": size, "requested_size": requested, "state": state, "frames": []}


def action(name: str, address: int, size: int, stream: int = 0, **more: Any) -> dict[str, Any]:
    """A trace entry as torch dumps it."""
    return {"action": name, "addr": address, "size": size, "stream": stream, "time_us": 1} | more


def raw_snapshot() -> dict[str, Any]:
    """A 20 MiB segment: 9 MiB in use from before the recording; 3 asked for; 4 freed that another stream still uses."""
    blocks = [
        block(BASE, 9 * MIB, 9 * MIB, "active_allocated"),
        block(BASE + 9 * MIB, 3 * MIB, 3 * MIB - 100, "active_allocated"),
        block(BASE + 12 * MIB, 4 * MIB, 4 * MIB, "active_pending_free"),
        block(BASE + 16 * MIB, 4 * MIB, 0, "inactive"),
    ]
    segment = {
        "device": 0,
        "address": BASE,
        "total_size": 20 * MIB,
        "stream": 0,
        "segment_type": "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "blocks": blocks,
    }
    frames = [
        {"name": "malloc", "filename": "allocator.cpp", "line": 7},
        {"name": "forward", "filename": "model.py", "line": 42},
    ]
    trace = [
        action("free_requested", BASE + 9 * MIB, 5 * MIB),
        action("free_completed", BASE + 9 * MIB, 5 * MIB),
        action("alloc", BASE + 9 * MIB, 3 * MIB - 100, frames=frames),
        action("alloc", BASE + 12 * MIB, 4 * MIB),
        action("free_requested", BASE + 12 * MIB, 4 * MIB),
        {"action": "oom", "size": MIB, "stream": 0, "device_free": 5},
        action("snapshot", 0, 0),
    ]
    settings = {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64", "max_split_size": 64 * MIB}
    return {"segments": [segment], "device_traces": [trace], "allocator_settings": settings}


def test_what_is_read() -> None:
    """Segments, entries with the innermost line of Python, settings."""
    snapshot = snapshot_of(raw_snapshot(), "raw")
    assert (snapshot.reserved, snapshot.active) == (20 * MIB, 16 * MIB)
    assert snapshot.entries[2] == Entry(
        "alloc", BASE + 9 * MIB, 3 * MIB - 100, 0, (0, 0), Frame("forward", "model.py", 42)
    )
    assert snapshot.entries[5] == Entry("oom", 5, MIB, 0)
    assert snapshot.settings == AllocatorSettings(max_split_size=64 * MIB)


def test_a_recording_that_starts_late() -> None:
    """9 and 5 MiB were there; the 5 made room for 3 and 4; a block that waits for another stream is in use."""
    compared = compare_with(snapshot_of(raw_snapshot(), "raw"))
    assert compared.equal
    sizes = [one.bytes for one in compared.recording.timeline.blocks]
    assert sizes == [9 * MIB, 5 * MIB, 3 * MIB - 100, 4 * MIB]
    assert [spot.offset // MIB for spot in compared.recording.spots] == [0, 9, 9, 12]
    assert compared.reserved == (20 * MIB, 20 * MIB)
    assert compared.active == (16 * MIB, 16 * MIB)


def test_a_real_allocator_that_does_otherwise_is_seen() -> None:
    """Had the 4 MiB been served from another place, they would be counted as misplaced."""
    raw = raw_snapshot()
    blocks = raw["segments"][0]["blocks"]
    blocks[2], blocks[3] = (
        block(BASE + 12 * MIB, 4 * MIB, 0, "inactive"),
        block(BASE + 16 * MIB, 4 * MIB, 4 * MIB, "active_allocated"),
    )
    raw["device_traces"][0][3:5] = [action("alloc", BASE + 16 * MIB, 4 * MIB)]
    compared = compare_with(snapshot_of(raw, "raw"))
    assert compared.misplaced == (3,)
    assert not compared.same_segments
    assert not compared.equal


def test_the_end_of_a_block_shows_when_memory_behind_it_is_used() -> None:
    """11.5 MiB got 12 of 32, though that shows only where the next block begins; it is gone at the end."""
    program = Program()
    whole = program.ask(32 * MIB)
    program.give(whole)
    first, second = program.ask(12 * MIB), program.ask(19 * MIB)
    program.give(first)
    third = program.ask(11.5 * MIB)
    program.give(second)
    fourth = program.ask(5 * MIB)
    program.give(third, fourth)
    snapshot = simulated_snapshot(program.timeline, replay(program.timeline), AllocatorSettings())
    begun = [entry.action for entry in snapshot.entries].index("alloc", 9)
    late = type(snapshot)(segments=snapshot.segments, entries=snapshot.entries[begun:], settings=snapshot.settings)
    assert compare_with(late).equal


def test_a_pool_of_a_cuda_graph_is_apart() -> None:
    """Memory that a graph's pool has free does not serve others: each entry names its pool."""
    raw = raw_snapshot()
    graph = copy.deepcopy(raw["segments"][0])
    graph |= {"address": BASE + 64 * MIB, "segment_pool_id": (0, 1)}
    graph["blocks"] = [block(BASE + 64 * MIB, 20 * MIB, 0, "inactive")]
    raw["segments"].append(graph)
    raw["device_traces"][0].insert(0, action("free_completed", BASE + 64 * MIB, 8 * MIB, pool_id=(0, 1)))
    compared = compare_with(snapshot_of(raw, "raw"))
    assert compared.equal
    assert len({segment.stream for segment in compared.replay.segments}) == 2


def test_another_device() -> None:
    """Each device has its own segments and entries; one that is not there is empty."""
    snapshot = snapshot_of(raw_snapshot(), "raw", device=1)
    assert (snapshot.segments, snapshot.entries) == ((), ())
    assert compare_with(snapshot).equal


class Mischief:
    """Runs a command when it is loaded by a pickle module that is not careful."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("mischief",)


def test_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that calls a function is refused, and the function is not called."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "snapshot.pickle"
    path.write_bytes(pickle.dumps({"segments": Mischief()}))
    with pytest.raises(InputError) as caught:
        read_snapshot(path)
    assert "mkdir" in caught.value.what
    assert "_dump_snapshot" in caught.value.hint
    assert not (tmp_path / "mischief").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"nonsense",
        b"\x80\x04]",
        b"\x80\x05\x95\xff",
        b"\x80\x04h\x05.",
        b"\x80\x04)b.",
        b"(dp0\nI1\ns.",
        b"\x80\x04\x8a\xff.",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    """Whatever the bytes, the error is of one kind."""
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        loads_plain(data)


def test_no_file_and_too_large_a_file(tmp_path: Path) -> None:
    """Both are named; a large one is not read."""
    with pytest.raises(InputError, match="No such file"):
        read_snapshot(tmp_path / "none.pickle")
    large = tmp_path / "large.pickle"
    with large.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="is too large"):
        read_snapshot(large)


def _without(raw: dict[str, Any], name: str) -> None:
    del raw[name]


BROKEN = {
    "no segments": (lambda raw: _without(raw, "segments"), "segments: no 'segments'"),
    "no traces": (lambda raw: _without(raw, "device_traces"), "device_traces: no"),
    "no size": (lambda raw: _without(raw["segments"][0], "total_size"), "segment 0: no 'total_size'"),
    "text for a size": (lambda raw: raw["segments"][0].update(total_size="20"), "segment 0: a number is missing"),
    "a truth for a size": (lambda raw: raw["segments"][0].update(stream=True), "segment 0: a number is missing"),
    "a huge number": (lambda raw: raw["device_traces"][0][0].update(size=2**70), "trace entry 0: a number is missing"),
    "a hole": (lambda raw: raw["segments"][0]["blocks"].pop(1), "segment 0: its blocks do not follow"),
    "a short segment": (lambda raw: raw["segments"][0]["blocks"].pop(), "segment 0: its blocks do not fill it"),
    "a state": (lambda raw: raw["segments"][0]["blocks"][0].update(state="gone"), "segment 0: unknown 'gone'"),
    "an action": (lambda raw: raw["device_traces"][0][1].update(action="eat"), "trace entry 1: unknown 'eat'"),
    "a pool": (lambda raw: raw["device_traces"][0][1].update(pool_id=(1,)), "trace entry 1: not enough values"),
    "settings": (
        lambda raw: raw.update(allocator_settings={"PYTORCH_CUDA_ALLOC_CONF": 5}),
        "allocator_settings: not text",
    ),
    "a list": (lambda raw: raw.update(segments=5), "segments: 'int' object is not iterable"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_not_a_snapshot(name: str) -> None:
    """The error says which part is wrong, and how."""
    raw = raw_snapshot()
    change, what = BROKEN[name]
    change(raw)
    with pytest.raises(InputError) as caught:
        snapshot_of(raw, "raw.pickle")
    assert caught.value.what.startswith("raw.pickle: not a memory snapshot: ")
    assert what in caught.value.what


CONTRADICTIONS = {
    "freed twice": (action("free_completed", BASE, MIB), "trace entry 7"),
    "never there": (action("alloc", BASE + 16 * MIB, MIB), "trace entry 7"),
    "no such segment": (action("segment_alloc", BASE + MIB, MIB), "trace entry 7"),
    "no such page": (action("segment_map", BASE, 2 * MIB), "trace entry 7"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_trace_that_contradicts_the_segments(name: str) -> None:
    """An entry that cannot have happened is named."""
    raw = raw_snapshot()
    entry, what = CONTRADICTIONS[name]
    raw["device_traces"][0].append(entry)
    with pytest.raises(InputError, match=what):
        compare_with(snapshot_of(raw, "raw"))


def test_blocks_outside_segments() -> None:
    """A block that was freed where no segment is."""
    raw = raw_snapshot()
    raw["device_traces"][0].insert(0, action("free_completed", BASE - 2 * MIB, MIB))
    with pytest.raises(InputError, match="outside its segments"):
        compare_with(snapshot_of(raw, "raw"))


def test_a_block_larger_than_its_place() -> None:
    """A block that was freed, and reached into the next."""
    raw = raw_snapshot()
    raw["device_traces"][0][0:2] = [action("free_completed", BASE + 9 * MIB, 12 * MIB)]
    with pytest.raises(InputError, match="larger than its place"):
        compare_with(snapshot_of(raw, "raw"))


def test_expandable_segments_and_others() -> None:
    """Settings that changed on the way are not followed."""
    raw = raw_snapshot()
    raw["segments"].append(raw["segments"][0] | {"is_expandable": True})
    with pytest.raises(UnsupportedError, match="and others"):
        compare_with(snapshot_of(raw, "raw"))


def test_what_is_written() -> None:
    """Operator, module and layer are the frame, the category is there, and the entries end with that of the page."""
    program = Program()
    program.give(program.ask(3 * MIB))
    program.ask(100)
    raw = loads_plain(
        write_snapshot(simulated_snapshot(program.timeline, replay(program.timeline), AllocatorSettings()))
    )
    entries = raw["device_traces"][0]
    assert [entry["action"] for entry in entries] == [
        "segment_alloc",
        "alloc",
        "free_requested",
        "free_completed",
        "segment_alloc",
        "alloc",
        "snapshot",
    ]
    assert entries[1]["frames"] == [{"name": "op 0", "filename": "", "line": 0}]
    assert entries[1]["category"] == "temporary"
    assert entries[-1]["category"] == "unknown"
    assert max(segment["address"] + segment["total_size"] for segment in raw["segments"]) < 2**53
    small = next(segment for segment in raw["segments"] if segment["segment_type"] == "small")
    assert (small["allocated_size"], small["requested_size"], small["total_size"]) == (512, 100, 2 * MIB)


def test_an_oom_is_written() -> None:
    """A replay that ends early ends with torch's entry for it."""
    program = Program()
    program.ask(3 * MIB)
    program.ask(30 * MIB)
    done = replay(program.timeline, capacity=20 * MIB)
    entries = simulated_snapshot(program.timeline, done, AllocatorSettings()).entries
    assert [entry.action for entry in entries] == ["segment_alloc", "alloc", "oom", "snapshot"]
