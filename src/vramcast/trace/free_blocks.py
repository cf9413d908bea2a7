"""Free memory of one stream: best fit, splitting, merging."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from vramcast.trace.allocator_settings import SMALL, SMALLEST, AllocatorSettings

ENDLESS = 1 << 62


class Place(NamedTuple):
    """Where a block is, and its bytes."""

    address: int
    size: int


class FreeBlocks:
    """
    Free blocks of one stream's small or large pool, by size; among equal ones the lowest address comes first.

    Addresses are numbers that grow from segment to segment, with a gap between two: blocks that touch are of one segment.

    Source:   `get_free_block`, `should_split`, `free_block`, `try_merge_blocks`; the order is
              `BlockComparatorSizeCounterAddress` (torch 2.13: oldest segment first) when addresses are given out in the
              order in which segments are made, and `BlockComparatorSize` (before) when they are those of the driver.
    """

    __slots__ = ("_by_size", "_ends", "_least_rest", "_rounding", "_sizes", "_split_below", "_starts", "_whole", "segments", "small", "stream")  # fmt: skip

    def __init__(self, settings: AllocatorSettings, stream: int, *, small: bool) -> None:
        self.stream, self.small = stream, small
        self.segments: dict[int, int] = {}  # address: bytes
        self._by_size: dict[int, list[int]] = {}  # bytes: addresses
        self._sizes: list[int] = []  # keys of the above in order; some have no address left
        self._starts: dict[int, int] = {}  # address: bytes
        self._ends: dict[int, int] = {}  # address behind the block: address
        self._least_rest = SMALLEST if small else SMALL + 1
        self._whole = self._split_below = settings.max_split_size or ENDLESS
        self._rounding = settings.max_non_split_rounding

    def __iter__(self) -> Iterator[Place]:
        """Free blocks, smallest first."""
        for size in self._sizes:
            for address in self._by_size[size]:
                yield Place(address, size)

    def take(self, size: int) -> tuple[int, int] | None:
        """Address and bytes of a block for a request of `size` rounded bytes; None: no free block serves it."""
        found = self._by_size.get(size)
        held = size
        if not found:
            held = self._next_size(size)
            if not held or (held >= self._whole and not self._serves(held, size)):
                return None
            found = self._by_size[held]
        address = found.pop(0)
        del self._starts[address], self._ends[address + held]
        return (address, size) if held == size else self.split(address, held, size)

    def put(self, address: int, size: int) -> int:
        """Keep a block that is free now, merged with free neighbours; the address of the merged block."""
        before = self._ends.get(address)
        if before is not None:
            size += self.drop(before)
            address = before
        if address + size in self._starts:
            size += self.drop(address + size)
        self._keep(address, size)
        return address

    def split(self, address: int, held: int, size: int) -> tuple[int, int]:
        """Hand out the lower part of a block; the rest stays free, or is handed out too if it is not worth splitting."""
        rest = held - size
        if rest < self._least_rest or size >= self._split_below:
            return address, held
        self._keep(address + size, rest)
        return address, size

    def drop(self, address: int) -> int:
        """Forget a free block; its bytes."""
        size = self._starts.pop(address)
        del self._ends[address + size]
        found = self._by_size[size]
        del found[bisect_left(found, address)]
        return size

    def whole_segments(self) -> list[Place]:
        """Segments with nothing in use, smallest first."""
        return [place for place in self if self.segments.get(place.address) == place.size]

    def _next_size(self, size: int) -> int:
        """The next larger size of which there is a free block, or 0."""
        sizes, by_size = self._sizes, self._by_size
        at = bisect_left(sizes, size)
        while at < len(sizes):
            held = sizes[at]
            if by_size[held]:
                return held
            del by_size[held], sizes[at]
        return 0

    def _serves(self, held: int, size: int) -> bool:
        """Whether `max_split_size` lets a free block of `held` bytes serve a request; below that size every one may."""
        return held < self._whole or (self._whole <= size and held < size + self._rounding)

    def _keep(self, address: int, size: int) -> None:
        self._starts[address] = size
        self._ends[address + size] = address
        found = self._by_size.get(size)
        if found is None:
            self._by_size[size] = [address]
            insort(self._sizes, size)
        else:
            insort(found, address)
