"""A timeline replayed through the caching allocator."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import NamedTuple

from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator import Allocator, DriverCall, OutOfMemory
from vramcast.trace.allocator_settings import SMALL, AllocatorSettings
from vramcast.trace.free_blocks import FreeBlocks
from vramcast.trace.segment import FREE, Part, Segment, segments_of


class Stretch(NamedTuple):
    """
    What happened between two marks of a timeline.

    `allocated` is the most that was allocated, right after event number `event`; `reserved` the most that was reserved,
    right after event number `reserved_event`. Both events are the one before the stretch if nothing grew in it.
    """

    allocated: int
    event: int
    reserved: int
    reserved_event: int
    allocated_before: int
    reserved_before: int


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
        addresses: where each block of the timeline was; segments lie apart, in the order in which they were made.
        stretches: one before the first mark and one from each mark on.
        calls: what was got from the driver and given back.
        segments: what was reserved at the end.
        retries: times that cached segments were given back because the device was full.
        failure: None if everything was served; else the replay ends there.
    """

    granted: tuple[int, ...]
    addresses: tuple[int, ...]
    stretches: tuple[Stretch, ...]
    calls: tuple[DriverCall, ...]
    segments: tuple[Segment, ...]
    retries: int
    failure: Failure | None

    @property
    def peak(self) -> Stretch:
        """The stretch with the most allocated."""
        return max(self.stretches, key=lambda stretch: stretch.allocated)

    @property
    def reserved_peak(self) -> Stretch:
        """The stretch with the most reserved."""
        return max(self.stretches, key=lambda stretch: stretch.reserved)

    @property
    def reserved(self) -> int:
        """The most that was reserved."""
        return self.reserved_peak.reserved


def replay(
    timeline: Timeline,
    settings: AllocatorSettings | None = None,
    capacity: int | None = None,
    *,
    empty_cache: Collection[int] = (),
    start: Sequence[Segment] = (),
    addresses: Iterable[int] | None = None,
) -> Replay:
    """
    What a CUDA device's allocator would count for `timeline`. Blocks of no bytes never reach it.

    Args:
        timeline: what the program asked for and gave back.
        settings: of the allocator; None: torch's defaults.
        capacity: bytes that the driver can give; None: no limit.
        empty_cache: events before which `torch.cuda.empty_cache` is called.
        start: segments there are before the program begins; the timeline's first events are the births of their blocks.
        addresses: of new segments in the order in which they are made; None: rising.

    Ignores:  frees that wait for another stream (`record_stream`); private pools of CUDA graphs.
    """
    playback = _Playback(timeline, Allocator(settings or AllocatorSettings(), capacity, addresses))
    playback.adopt(start)
    cuts = [(event, False) for event in empty_cache] + [(mark.event, True) for mark in timeline.marks]
    stretches: list[Stretch] = []
    for event, is_mark in (*sorted(cuts), (len(timeline.events), True)):
        playback.play(event)
        if is_mark or playback.failure:
            stretches.append(playback.close())
        else:
            playback.allocator.release(event)
        if playback.failure:
            break
    return playback.result(tuple(stretches))


class _Nothing(FreeBlocks):
    """Where requests of no bytes go."""

    __slots__ = ()

    def take(self, size: int) -> tuple[int, int]:
        return 0, 0

    def put(self, address: int, size: int) -> int:
        return address


class _Playback:
    """How far a replay has come."""

    def __init__(self, timeline: Timeline, allocator: Allocator) -> None:
        self.allocator = allocator
        self.failure: Failure | None = None
        self._timeline = timeline
        self._requests = list(
            map(_Requests(allocator).__getitem__, map(attrgetter("bytes", "stream"), timeline.blocks))
        )
        self._freed = bytearray(len(timeline.blocks))
        self._addresses = [0] * len(timeline.blocks)
        self._granted = [0] * len(timeline.blocks)
        self._position = 0
        self._allocated = self._most = self._most_reserved = 0
        self._at = self._reserved_at = -1
        self._before = 0, 0

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Start with these; the births of their blocks are past."""
        for segment in segments:
            self.allocator.adopt(segment)
            for address, size, block in segment.parts:
                if block != FREE:
                    self._addresses[block], self._granted[block] = address, size
                    self._allocated += size
                    self._position += 1
        self._open()

    def play(self, end: int) -> None:
        """Up to event number `end`; what takes most of the time, so with local names."""
        requests, addresses, granted, freed = self._requests, self._addresses, self._granted, self._freed
        allocated, most, at = self._allocated, self._most, self._at
        for position, (born, number) in enumerate(self._timeline.events[self._position : end], self._position):
            size, pool = requests[number]
            if not born:
                size = granted[number]
                allocated -= size
                freed[number] = True
                pool.put(addresses[number], size)
                continue
            block = pool.take(size)
            if block is None:
                block = self._grow(pool, size, position, allocated)
                if block is None:
                    break
            addresses[number], granted[number] = block
            allocated += block[1]
            if allocated > most:
                most, at = allocated, position
        self._position = max(self._position, end)
        self._allocated, self._most, self._at = allocated, most, at

    def close(self) -> Stretch:
        """The stretch since the last call."""
        before = self._before
        stretch = Stretch(self._most, self._at, self._most_reserved, self._reserved_at, *before)
        self._open()
        return stretch

    def result(self, stretches: tuple[Stretch, ...]) -> Replay:
        """The whole."""
        return Replay(
            granted=tuple(self._granted),
            addresses=tuple(self._addresses),
            stretches=stretches,
            calls=tuple(self.allocator.calls),
            segments=tuple(self._segments()),
            retries=self.allocator.retries,
            failure=self.failure,
        )

    def _open(self) -> None:
        self._before = self._most, self._most_reserved = self._allocated, self.allocator.reserved
        self._at = self._reserved_at = self._position - 1

    def _grow(self, pool: FreeBlocks, size: int, position: int, allocated: int) -> tuple[int, int] | None:
        try:
            block = self.allocator.grow(pool, size, position)
        except OutOfMemory:
            requested = self._timeline.blocks[self._timeline.events[position].block].bytes
            self.failure = Failure(position, requested, allocated, self.allocator.reserved)
            return None
        if self.allocator.reserved > self._most_reserved:
            self._most_reserved, self._reserved_at = self.allocator.reserved, position
        return block

    def _segments(self) -> Iterator[Segment]:
        used: dict[FreeBlocks, list[Part]] = {}
        for number, (size, pool) in enumerate(zip(self._granted, map(itemgetter(1), self._requests), strict=True)):
            if size and not self._freed[number]:
                used.setdefault(pool, []).append(Part(self._addresses[number], size, number))
        for pool in self.allocator.pools.values():
            yield from segments_of(pool.stream, pool, used.get(pool, ()), small=pool.small)


class _Requests(dict[tuple[int, int], tuple[int, FreeBlocks]]):
    """The rounded bytes of a request and the pool that serves it, by its bytes and stream; worked out once each."""

    def __init__(self, allocator: Allocator) -> None:
        super().__init__()
        self._allocator = allocator
        self._nothing = _Nothing(allocator.settings, 0, small=True)

    def __missing__(self, key: tuple[int, int]) -> tuple[int, FreeBlocks]:
        requested, stream = key
        size = self._allocator.settings.block_size(requested)
        pool = self._allocator.pool(stream, small=size <= SMALL) if requested else self._nothing
        self[key] = request = size, pool
        return request
