"""Where a snapshot's recording began: its actions undone from the last to the first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.errors import InputError
from vramcast.trace.allocator_settings import LARGE_SEGMENT, SMALL_SEGMENT, STEP
from vramcast.trace.snapshot import FREE, HINT, Snapshot

Pool = tuple[int, tuple[int, int], bool]  # stream, pool's number, whether it is the small one


class Chunk(NamedTuple):
    """Memory from the driver: a segment, or pages of an expandable one that touch."""

    address: int
    size: int
    pool: Pool
    expandable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """
    What was there before the first recorded action.

    Attributes:
        chunks: by address.
        live: bytes asked for, of the blocks in use, by address.
        held: bytes of those blocks that are in use to the end, by address; of others only the request is known.
    """

    chunks: tuple[Chunk, ...]
    live: dict[int, int]
    held: dict[int, int]


def rewind(snapshot: Snapshot) -> Beginning:
    """
    What was there before the first recorded action.

    Raises:
        InputError: the actions contradict the segments.
    """
    held = {
        block.address: block.size for segment in snapshot.segments for block in segment.blocks if block.state != FREE
    }
    live = {
        block.address: block.requested
        for segment in snapshot.segments
        for block in segment.blocks
        if block.state != FREE
    }
    memory = _Memory(snapshot)
    for number in range(len(snapshot.entries) - 1, -1, -1):
        action, address, size, stream, pool = snapshot.entries[number][:5]
        try:
            if action == "alloc":
                del live[address]
                held.pop(address, None)
            elif action == "free_completed":
                assert address not in live
                live[address] = size
            else:
                memory.undo(action, address, size, stream, pool)
        except (KeyError, AssertionError):
            text = f"trace entry {number}: {action} at {address:#x} contradicts what comes after it"
            raise InputError(text, HINT) from None
    return Beginning(chunks=tuple(memory.chunks()), live=live, held={at: held[at] for at in live if at in held})


class _Memory:
    """Segments, and pages of expandable ones, at some moment."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._segments: dict[int, Chunk] = {}
        self._pages: dict[int, Pool] = {}
        for segment in snapshot.segments:
            pool = segment.stream, segment.pool, segment.small
            if segment.expandable:
                self._pages.update(dict.fromkeys(_pages(segment.address, segment.size), pool))
            else:
                self._segments[segment.address] = Chunk(segment.address, segment.size, pool, expandable=False)

    def undo(self, action: str, address: int, size: int, stream: int, pool: tuple[int, int]) -> None:
        """As it was before the action."""
        if action == "segment_alloc":
            del self._segments[address]
        elif action == "segment_free":
            assert address not in self._segments
            kind = stream, pool, size == SMALL_SEGMENT
            self._segments[address] = Chunk(address, size, kind, expandable=False)
        elif action == "segment_map":
            for page in _pages(address, size):
                del self._pages[page]
        elif action == "segment_unmap":
            kind = stream, pool, size % LARGE_SEGMENT != 0
            self._pages.update(dict.fromkeys(_pages(address, size), kind))

    def chunks(self) -> Iterator[Chunk]:
        """By address."""
        found = list(self._segments.values())
        start: int | None = None
        for page in sorted(self._pages):
            start = page if start is None else start
            kind = self._pages[page]
            if self._pages.get(page + STEP) != kind:
                found.append(Chunk(start, page + STEP - start, kind, expandable=True))
                start = None
        yield from sorted(found)


def _pages(address: int, size: int) -> range:
    return range(address, address + size, STEP)
