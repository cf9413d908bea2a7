"""Snapshots in the form of `torch.cuda.memory._dump_snapshot`, which torch's page memory_viz opens."""

import pickle
from collections.abc import Iterator
from typing import Any

from vramcast.domain.timeline import Block, Timeline
from vramcast.trace.allocator import GAP
from vramcast.trace.allocator_settings import AllocatorSettings, write_settings
from vramcast.trace.replay import Replay
from vramcast.trace.segment import FREE as UNUSED
from vramcast.trace.segment import Segment
from vramcast.trace.snapshot import FREE, USED, Entry, Frame, Snapshot, SnapshotBlock, SnapshotSegment
from vramcast.units import TIB

FIRST_ADDRESS = 1 << 40
PROTOCOL = 4  # torch's page knows 2 to 4
NO_CATEGORY = "unknown"


def simulated_snapshot(timeline: Timeline, replay: Replay, settings: AllocatorSettings) -> Snapshot:
    """
    What torch would have dumped at the end of a replay that began with nothing reserved.

    Frames name operator, module and layer. Segments are laid side by side, for the page's numbers end at 2⁵³.
    """
    bases = _bases(replay)
    segments = tuple(sorted(_segment(segment, timeline, settings, bases) for segment in replay.segments))
    return Snapshot(segments=segments, entries=tuple(_entries(timeline, replay, bases)), settings=settings)


def write_snapshot(snapshot: Snapshot) -> bytes:
    """A pickle of plain containers."""
    frames: dict[Frame | None, list[dict[str, Any]]] = {None: []}
    for entry in snapshot.entries:
        if entry.frame is not None and entry.frame not in frames:
            frames[entry.frame] = [entry.frame._asdict()]
    settings = snapshot.settings
    raw = {
        "segments": [_raw_segment(segment) for segment in snapshot.segments],
        "device_traces": [[_raw_entry(entry, frames[entry.frame]) for entry in snapshot.entries]],
        "allocator_settings": {
            "PYTORCH_CUDA_ALLOC_CONF": write_settings(settings),
            "max_split_size": settings.max_split_size or -1,
            "garbage_collection_threshold": settings.garbage_collection_threshold,
            "expandable_segments": settings.expandable_segments,
        },
        "external_annotations": [],
    }
    return pickle.dumps(raw, protocol=PROTOCOL)


def _raw_segment(segment: SnapshotSegment) -> dict[str, Any]:
    blocks = [
        {"address": at, "size": size, "requested_size": requested, "state": state, "frames": []}
        for at, size, requested, state in segment.blocks
    ]
    return {
        "device": 0,
        "address": segment.address,
        "total_size": segment.size,
        "allocated_size": sum(block.size for block in segment.blocks if block.state == USED),
        "active_size": sum(block.size for block in segment.blocks if block.state != FREE),
        "requested_size": sum(block.requested for block in segment.blocks if block.state != FREE),
        "stream": segment.stream,
        "segment_type": "small" if segment.small else "large",
        "segment_pool_id": segment.pool,
        "is_expandable": segment.expandable,
        "frames": [],
        "blocks": blocks,
    }


def _raw_entry(entry: Entry, frames: list[dict[str, Any]]) -> dict[str, Any]:
    raw = {
        "action": entry.action,
        "device_free" if entry.action == "oom" else "addr": entry.address,
        "size": entry.size,
        "stream": entry.stream,
        "pool_id": entry.pool,
        "frames": frames,
    }
    return raw | {"category": entry.category} if entry.category else raw


def _bases(replay: Replay) -> list[int]:
    """Written addresses of the segments, in the order in which they were made."""
    bases = [0, FIRST_ADDRESS]
    for call in replay.calls:
        if call.action == "segment_alloc":
            bases.append(bases[-1] + call.size)
        elif call.action == "segment_map" and call.address // GAP == len(bases) - 1:
            bases.append(bases[-1] + TIB)
    return bases


def _placed(address: int, bases: list[int]) -> int:
    return bases[address // GAP] + address % GAP


def _segment(segment: Segment, timeline: Timeline, settings: AllocatorSettings, bases: list[int]) -> SnapshotSegment:
    return SnapshotSegment(
        address=_placed(segment.address, bases),
        size=segment.size,
        stream=segment.stream,
        small=segment.small,
        expandable=settings.expandable_segments,
        pool=(0, 0),
        blocks=tuple(
            SnapshotBlock(_placed(at, bases), size, 0, FREE)
            if block == UNUSED
            else SnapshotBlock(_placed(at, bases), size, timeline.blocks[block].bytes, USED)
            for at, size, block in segment.parts
        ),
    )


def _entries(timeline: Timeline, replay: Replay, bases: list[int]) -> Iterator[Entry]:
    calls = iter((*replay.calls, None))
    call = next(calls)
    end = len(timeline.events) if replay.failure is None else replay.failure.event
    for position in range(end + 1):
        while call is not None and call.event <= position:
            yield Entry(call.action, _placed(call.address, bases), call.size, call.stream)
            call = next(calls)
        if position == end:
            break
        born, number = timeline.events[position]
        block = timeline.blocks[number]
        if block.bytes:
            address = _placed(replay.addresses[number], bases)
            for action in ("alloc",) if born else ("free_requested", "free_completed"):
                yield Entry(
                    action, address, block.bytes, block.stream, frame=_frame(block), category=block.category.value
                )
    if replay.failure is not None:
        yield Entry("oom", 0, replay.failure.bytes, timeline.blocks[timeline.events[end].block].stream)
    yield Entry(
        "snapshot", 0, replay.stretches[-1].reserved, 0, category=NO_CATEGORY
    )  # the page fails without that one


def _frame(block: Block) -> Frame:
    return Frame(block.operator, block.module, max(block.layer, 0))
