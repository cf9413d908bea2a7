"""
CUDA's caching allocator, simulated: what is allocated and what is reserved after each event.

Source: torch c10/cuda/CUDACachingAllocator.cpp and c10/core/AllocatorConfig.h, 2.13 (`malloc`, `get_free_block`,
`alloc_block`, `should_split`, `free_block`, `try_merge_blocks`).
"""

from bisect import bisect_left, insort

from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.units import MIB

SMALLEST = 512
SMALL = MIB  # requests up to this come from the small pool
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
LARGE = 10 * MIB  # requests from this on get segments of their own, in steps of 2 MiB
STEP = 2 * MIB


def rounded(size: int) -> int:
    """Bytes of the block that a request needs: multiples of 512."""
    return max(SMALLEST, -(-size // SMALLEST) * SMALLEST)


def segment_size(size: int) -> int:
    """Bytes that are asked of the driver for a block of `size` bytes."""
    if size <= SMALL:
        return SMALL_SEGMENT
    return LARGE_SEGMENT if size < LARGE else -(-size // STEP) * STEP


class Piece:
    """A part of a segment: free or handed out; its neighbours in the same segment."""

    __slots__ = ("after", "before", "free", "offset", "pool", "segment", "size")

    def __init__(self, segment: int, offset: int, size: int, pool: "Pool") -> None:
        self.segment, self.offset, self.size, self.pool = segment, offset, size, pool
        self.before: Piece | None = None
        self.after: Piece | None = None
        self.free = True


class Pool:
    """
    Free pieces of one stream, small or large, by size; among equal ones the oldest segment's lowest comes first.

    Source: `BlockComparatorSizeCounterAddress`, torch 2.13 and later.
    """

    __slots__ = ("bins", "sizes", "small", "stream", "tail")

    def __init__(self, stream: int, *, small: bool) -> None:
        self.stream, self.small = stream, small
        self.sizes: list[int] = []
        self.bins: dict[int, list[tuple[int, int, Piece]]] = {}
        self.tail: Piece | None = None  # the last piece of an expandable segment

    def put(self, piece: Piece) -> None:
        """Keep a free piece."""
        found = self.bins.get(piece.size)
        if found is None:
            self.bins[piece.size] = [(piece.segment, piece.offset, piece)]
            insort(self.sizes, piece.size)
        else:
            insort(found, (piece.segment, piece.offset, piece))

    def drop(self, piece: Piece) -> None:
        """Forget a free piece."""
        found = self.bins[piece.size]
        if len(found) == 1:
            del self.bins[piece.size]
            del self.sizes[bisect_left(self.sizes, piece.size)]
        else:
            del found[bisect_left(found, (piece.segment, piece.offset))]

    def smallest(self, size: int) -> Piece | None:
        """The smallest free piece of at least `size` bytes."""
        found = self.bins.get(size)
        if found is None:
            at = bisect_left(self.sizes, size)
            if at == len(self.sizes):
                return None
            found = self.bins[self.sizes[at]]
        return found[0][2]

    def pieces(self) -> list[Piece]:
        """All free pieces, smallest first."""
        return [piece for size in self.sizes for _, _, piece in self.bins[size]]


class OutOfMemory(Exception):  # noqa: N818 - what it is called in torch
    """The device is full, cached segments released or not."""


class Allocator:
    """
    The allocator of one device.

    Args:
        settings: see `AllocatorSettings`.
        capacity: bytes that segments can take; None: no limit.
    """

    def __init__(self, settings: AllocatorSettings, capacity: int | None = None) -> None:
        self.allocated = self.reserved = self.segments = self.retries = 0
        self._capacity = capacity
        self._expandable = settings.expandable_segments
        self._whole = settings.max_split_size
        self._divisions = settings.roundup_power2_divisions
        self._pools: dict[tuple[int, bool], Pool] = {}

    def malloc(self, size: int, stream: int = 0) -> Piece:
        """
        A block of at least `size` bytes.

        Raises:
            OutOfMemory: the capacity is spent.
        """
        size = self._rounded(size)
        pool = self._pools.get((stream, size <= SMALL)) or self._pool(stream, size)
        piece = pool.smallest(size)
        if piece is not None and self._whole is not None and not self._serves(piece, size):
            piece = None
        if piece is not None:
            pool.drop(piece)
        else:
            piece = self._grow(pool, size) if self._expandable else self._segment(pool, size)
        rest = piece.size - size
        if rest >= SMALLEST and self._splits(pool, size, rest):
            self._split(piece, size)
        piece.free = False
        self.allocated += piece.size
        return piece

    def free(self, piece: Piece) -> None:
        """Give a block back; it is merged with free neighbours of its segment."""
        self.allocated -= piece.size
        pool = piece.pool
        before, after = piece.before, piece.after
        if before is not None and before.free:
            pool.drop(before)
            piece.offset, piece.size = before.offset, before.size + piece.size
            piece.before = before.before
            if piece.before is not None:
                piece.before.after = piece
        if after is not None and after.free:
            pool.drop(after)
            piece.size += after.size
            piece.after = after.after
            if piece.after is not None:
                piece.after.before = piece
            if pool.tail is after:
                pool.tail = piece
        piece.free = True
        pool.put(piece)

    def release(self) -> int:
        """Give unused segments back to the driver, as `torch.cuda.empty_cache` does; the bytes released."""
        released = 0
        for pool in self._pools.values():
            for piece in pool.pieces():
                if piece.before is None and piece.after is None:
                    pool.drop(piece)
                    released += piece.size
                    pool.tail = None if pool.tail is piece else pool.tail
        self.reserved -= released
        return released

    def _rounded(self, size: int) -> int:
        steps = self._divisions
        if steps > 1 and size > SMALLEST * steps:
            step = (1 << (size - 1).bit_length() - 1) // steps
            return -(-size // step) * step
        return rounded(size)

    def _pool(self, stream: int, size: int) -> Pool:
        pool = self._pools[stream, size <= SMALL] = Pool(stream, small=size <= SMALL)
        return pool

    def _serves(self, piece: Piece, size: int) -> bool:
        """Whether `max_split_size` lets a large free block serve a request."""
        assert self._whole is not None
        if size < self._whole:
            return piece.size < self._whole
        return piece.size < size + LARGE_SEGMENT

    def _splits(self, pool: Pool, size: int, rest: int) -> bool:
        if pool.small or self._expandable:
            return True
        return rest > SMALL and (self._whole is None or size < self._whole)

    def _split(self, piece: Piece, size: int) -> None:
        """The lower part is handed out, the upper one stays free."""
        rest = Piece(piece.segment, piece.offset + size, piece.size - size, piece.pool)
        rest.before, rest.after, piece.after = piece, piece.after, rest
        if rest.after is not None:
            rest.after.before = rest
        piece.size = size
        if piece.pool.tail is piece:
            piece.pool.tail = rest
        piece.pool.put(rest)

    def _reserve(self, size: int) -> None:
        if self._capacity is not None and self.reserved + size > self._capacity:
            self.retries += 1
            self.release()
            if self.reserved + size > self._capacity:
                raise OutOfMemory(size)
        self.reserved += size

    def _segment(self, pool: Pool, size: int) -> Piece:
        taken = segment_size(size)
        self._reserve(taken)
        self.segments += 1
        return Piece(self.segments, 0, taken, pool)

    def _grow(self, pool: Pool, size: int) -> Piece:
        """Map pages behind what an expandable segment has; its free end counts."""
        page = SMALL_SEGMENT if pool.small else LARGE_SEGMENT
        tail = pool.tail if pool.tail is not None and pool.tail.free else None
        mapped = -(-(size - (tail.size if tail else 0)) // page) * page
        self._reserve(mapped)
        if tail is not None and pool.tail is tail:
            pool.drop(tail)
            tail.size += mapped
            return tail
        last = pool.tail
        self.segments += last is None
        piece = Piece(last.segment if last else self.segments, last.offset + last.size if last else 0, mapped, pool)
        piece.before = last
        if last is not None:
            last.after = piece
        pool.tail = piece
        return piece
