"""A snapshot's recorded actions as a timeline, and the segments that were there when the recording began."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.timeline import Block, Event, Timeline
from vramcast.trace.allocator_settings import SMALL, STEP, AllocatorSettings
from vramcast.trace.rewind import Beginning, Chunk, rewind
from vramcast.trace.segment import FREE, Part, Segment
from vramcast.trace.snapshot import DEFAULT_POOL, HINT, Entry, Snapshot

GIVEN_BACK = ("segment_free", "segment_unmap")


class Spot(NamedTuple):
    """Where a block really was: the number of its segment, and how far into it."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """
    A snapshot as a timeline.

    Attributes:
        timeline: blocks that were there at the beginning come first; their births are its first events.
        start: segments at the beginning, at their real addresses.
        spots: where each block of the timeline really was.
        segments: real addresses of the segments: those of `start`, then new ones in the order in which they were made.
        released: events before which cached segments were given back.
    """

    timeline: Timeline
    start: tuple[Segment, ...]
    spots: tuple[Spot, ...]
    segments: tuple[int, ...]
    released: tuple[int, ...]


def recorded(snapshot: Snapshot, settings: AllocatorSettings) -> Recording:
    """
    The timeline of a snapshot: its allocations, and its completed frees, for a block that another stream awaits is in use.

    Raises:
        InputError: the snapshot contradicts itself.

    Ignores:  the slack of blocks that were there at the beginning and not at the end, where free memory follows them.
    """
    beginning = rewind(snapshot)
    sizes = _sizes(snapshot, beginning, settings)
    tape = _Tape()
    start = tuple(tape.begin(chunk, beginning, sizes) for chunk in beginning.chunks)
    if len(tape.blocks) != len(beginning.live):
        raise InputError("the snapshot has blocks outside its segments", HINT)
    for number, entry in enumerate(snapshot.entries):
        try:
            tape.play(entry)
        except (KeyError, LookupError):
            raise InputError(f"trace entry {number}: {entry.action} contradicts what came before it", HINT) from None
    timeline = Timeline(blocks=tuple(tape.blocks), events=tuple(tape.events))
    return Recording(
        timeline=timeline,
        start=start,
        spots=tuple(tape.spots),
        segments=tuple(tape.segments),
        released=tuple(dict.fromkeys(tape.released)),
    )


class _Tape:
    """A timeline as far as it is written."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.events: list[Event] = []
        self.spots: list[Spot] = []
        self.segments: list[int] = []
        self.released: list[int] = []
        self._live: dict[int, int] = {}  # address: number of the block
        self._bases: list[tuple[int, int]] = []  # address and number of each segment there is, by address
        self._streams: dict[tuple[int, tuple[int, int]], int] = {}
        self._pages: set[int] = set()

    def begin(self, chunk: Chunk, beginning: Beginning, sizes: dict[int, int]) -> Segment:
        """A segment that was there, and its blocks."""
        stream, pool, small = chunk.pool
        if chunk.expandable:
            self._pages.update(range(chunk.address, chunk.address + chunk.size, STEP))
        self._make(chunk.address)
        parts = []
        for address, size, requested in _divided(chunk, beginning, sizes):
            parts.append(Part(address, size, FREE if requested is None else len(self.blocks)))
            if requested is not None:
                self._born(Entry("alloc", address, requested, stream, pool))
        number = self._stream(stream, pool)
        return Segment(address=chunk.address, size=chunk.size, stream=number, small=small, parts=tuple(parts))

    def play(self, entry: Entry) -> None:
        """One more action."""
        if entry.action == "alloc":
            self._born(entry)
        elif entry.action == "free_completed":
            self.events.append(Event(born=False, block=self._live.pop(entry.address)))
        elif entry.action == "segment_alloc":
            self._make(entry.address)
        elif entry.action == "segment_map":
            pages = range(entry.address, entry.address + entry.size, STEP)
            if entry.address - STEP not in self._pages and entry.address not in self.segments:
                self._make(entry.address)
            self._pages.update(pages)
        elif entry.action in GIVEN_BACK:
            self.released.append(len(self.events))
            if entry.action == "segment_free":
                at = bisect_right(self._bases, (entry.address, len(self.segments))) - 1
                del self._bases[at]
            else:
                self._pages.difference_update(range(entry.address, entry.address + entry.size, STEP))

    def _make(self, address: int) -> None:
        insort(self._bases, (address, len(self.segments)))
        self.segments.append(address)

    def _born(self, entry: Entry) -> None:
        number = len(self.blocks)
        self._live[entry.address] = number
        address, segment = self._bases[bisect_right(self._bases, (entry.address, len(self.segments))) - 1]
        self.spots.append(Spot(segment, entry.address - address))
        self.events.append(Event(born=True, block=number))
        where = entry.frame
        self.blocks.append(
            Block(
                bytes=entry.size,
                category=Category.UNEXPLAINED,
                phase=Phase.RESIDENT,
                module=f"{where.filename}:{where.line}" if where else "",
                operator=where.name if where else "",
                stream=self._stream(entry.stream, entry.pool),
            )
        )

    def _stream(self, stream: int, pool: tuple[int, int]) -> int:
        """Pools of CUDA graphs are apart, as streams are."""
        if pool == DEFAULT_POOL:
            return stream
        return self._streams.setdefault((stream, pool), -1 - len(self._streams))


def _sizes(snapshot: Snapshot, beginning: Beginning, settings: AllocatorSettings) -> dict[int, int]:
    """
    Bytes of the blocks at the beginning, by address.

    The end of a block that was too small to split off shows when memory behind it is used: nothing in a large pool is as
    small as that.
    """
    sizes = {at: beginning.held.get(at) or settings.block_size(size) for at, size in beginning.live.items()}
    if settings.expandable_segments:
        return sizes
    unsure = sorted(at for at, size in sizes.items() if at not in beginning.held and size > SMALL)
    starts = [chunk.address for chunk in beginning.chunks]
    for entry in snapshot.entries:
        at = bisect_left(unsure, entry.address) - (entry.action == "alloc")
        if entry.action == "alloc" and at >= 0:
            first = unsure[at]
            chunk = beginning.chunks[bisect_right(starts, first) - 1]
            behind = entry.address - first - sizes[first]
            if 0 < behind <= SMALL and entry.address < chunk.address + chunk.size:
                sizes[first] = entry.address - first
        elif entry.action == "free_completed" and at < len(unsure) and unsure[at] == entry.address:
            del unsure[at]
    return sizes


def _divided(chunk: Chunk, beginning: Beginning, sizes: dict[int, int]) -> Iterator[tuple[int, int, int | None]]:
    """Address, bytes and request of a segment's parts; the request of a free one is None."""
    small = chunk.pool[2]
    end = chunk.address + chunk.size
    inside = sorted(address for address in beginning.live if chunk.address <= address < end)
    at = chunk.address
    for address, following in zip(inside, [*inside[1:], end], strict=False):
        if at < address:
            yield at, address - at, None
        size = sizes[address]
        rest = following - address - size
        if rest < 0:
            raise InputError(f"the block at {address:#x} is larger than its place", HINT)
        if rest <= SMALL and not small and not chunk.expandable:
            size += rest
        yield address, size, beginning.live[address]
        at = address + size
    if at < end:
        yield at, end - at, None
