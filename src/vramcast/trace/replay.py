"""A timeline replayed through the caching allocator."""

from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator import Allocator, OutOfMemory, Piece
from vramcast.trace.allocator_settings import AllocatorSettings


class Stretch(NamedTuple):
    """
    What happened between two marks of a timeline.

    `allocated` is the most that was allocated, right after event number `event`; `reserved` the most that was reserved.
    """

    allocated: int
    event: int
    reserved: int


class Failure(NamedTuple):
    """The request that a full device could not serve: its event, its bytes, and what was allocated and reserved."""

    event: int
    bytes: int
    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """
    What the allocator counted.

    Attributes:
        granted: bytes of the block that each block of the timeline got: rounded, with an end too small to split off.
        stretches: one before the first mark and one from each mark on.
        retries: times that cached segments were given back because the device was full.
        failure: None if everything was served; else the replay ends there.
    """

    granted: tuple[int, ...]
    stretches: tuple[Stretch, ...]
    retries: int
    failure: Failure | None

    @property
    def peak(self) -> Stretch:
        """The stretch with the most allocated."""
        return max(self.stretches, key=lambda stretch: stretch.allocated)

    @property
    def reserved(self) -> int:
        """The most that was reserved."""
        return max(stretch.reserved for stretch in self.stretches)


def replay(timeline: Timeline, settings: AllocatorSettings | None = None, capacity: int | None = None) -> Replay:
    """
    What a CUDA device's allocator would count for `timeline`.

    Ignores:  frees that wait for another stream (`record_stream`); private pools of CUDA graphs.
    """
    allocator = Allocator(settings or AllocatorSettings(), capacity)
    pieces: list[Piece | None] = [None] * len(timeline.blocks)
    granted = [0] * len(timeline.blocks)
    stretches: list[Stretch] = []
    failure: Failure | None = None
    start = 0
    for end in (*(mark.event for mark in timeline.marks), len(timeline.events)):
        stretch, failure = _stretch(timeline, start, end, allocator, pieces, granted)
        stretches.append(stretch)
        start = end
        if failure is not None:
            break
    return Replay(granted=tuple(granted), stretches=tuple(stretches), retries=allocator.retries, failure=failure)


def _stretch(
    timeline: Timeline,
    start: int,
    end: int,
    allocator: Allocator,
    pieces: list[Piece | None],
    granted: list[int],
) -> tuple[Stretch, Failure | None]:
    blocks, malloc, free = timeline.blocks, allocator.malloc, allocator.free
    most, at, reserved = allocator.allocated, start - 1, allocator.reserved
    for position, (born, number) in enumerate(timeline.events[start:end], start):
        if not born:
            piece = pieces[number]
            assert piece is not None, number
            free(piece)
            continue
        block = blocks[number]
        try:
            pieces[number] = piece = malloc(block.bytes, block.stream)
        except OutOfMemory:
            failure = Failure(position, block.bytes, allocator.allocated, allocator.reserved)
            return Stretch(most, at, max(reserved, allocator.reserved)), failure
        granted[number] = piece.size
        if allocator.allocated > most:
            most, at = allocator.allocated, position
        reserved = max(reserved, allocator.reserved)
    return Stretch(most, at, reserved), None
