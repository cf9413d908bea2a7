"""
CUDA's caching allocator, simulated: which memory it reserves for a program's requests.

Source: torch c10/cuda/CUDACachingAllocator.cpp and c10/core/AllocatorConfig.h, 2.6 to 2.13; functions are named where they
are followed.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vramcast.trace.aged_blocks import AgedBlocks, Clock, garbage
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.expandable_blocks import ExpandableBlocks
from vramcast.trace.free_blocks import FreeBlocks, Place
from vramcast.trace.segment import Segment

GAP = 1 << 44  # between the addresses of two segments


class DriverCall(NamedTuple):
    """
    Memory that the allocator got from the driver at an event, or gave back.

    `action` is torch's word: segment_alloc, segment_free, segment_map, segment_unmap.
    """

    event: int
    action: str
    address: int
    size: int
    stream: int


class OutOfMemory(Exception):  # noqa: N818 - what it is called in torch
    """The device is full, cached segments released or not."""


class Allocator:
    """
    The allocator of one device: its pools, and what it has from the driver.

    Args:
        settings: see `AllocatorSettings`.
        capacity: bytes that the driver can give; None: no limit.
        addresses: of new segments, in the order in which they are made; None: rising.

    Ignores:  frees that wait for another stream (`record_stream`); private pools of CUDA graphs; other programs.
    """

    def __init__(
        self, settings: AllocatorSettings, capacity: int | None = None, addresses: Iterable[int] | None = None
    ) -> None:
        self.reserved = self.retries = 0
        self.calls: list[DriverCall] = []
        self.pools: dict[tuple[int, bool], FreeBlocks] = {}
        self.settings = settings
        self._capacity = capacity
        self._addresses = _rising() if addresses is None else iter(addresses)
        self._limit = settings.memory_limit
        self._collects = self._limit is not None and settings.garbage_collection_threshold > 0
        self._clock = Clock()

    def pool(self, stream: int, *, small: bool) -> FreeBlocks:
        """The pool that serves a stream's requests of up to 1 MiB, or of more."""
        found = self.pools.get((stream, small))
        if found is None:
            found = self.pools[stream, small] = self._new_pool(stream, small=small)
        return found

    def adopt(self, segment: Segment) -> None:
        """Start with a segment that is there; those of a pool in the order of their addresses."""
        pool = self.pool(segment.stream, small=segment.small)
        if isinstance(pool, ExpandableBlocks):
            pool.adopt(Place(segment.address, segment.size))
        else:
            pool.segments[segment.address] = segment.size
        for part in segment.parts:
            if part.block < 0:
                pool.put(part.address, part.size)
        self.reserved += segment.size

    def grow(self, pool: FreeBlocks, size: int, event: int = 0) -> tuple[int, int]:
        """
        Address and bytes of a block for a request that no free block serves.

        Source:   `malloc`, from the garbage collection on.

        Raises:
            OutOfMemory: there is no memory, even after cached segments were given back.
        """
        if self._collects:
            self._collect_garbage(event)
        found = self._extend(pool, size, event)
        if found is None and self._release_oversize(pool, size, event):
            found = self._extend(pool, size, event)
        if found is None:
            self.release(event)
            self.retries += 1
            found = self._extend(pool, size, event)
        if found is None:
            raise OutOfMemory(size)
        return found

    def release(self, event: int = 0) -> None:
        """
        Give unused segments and pages back to the driver, as `torch.cuda.empty_cache` does.

        Source:   `release_cached_blocks`: large pools first.
        """
        for pool in sorted(self.pools.values(), key=lambda pool: pool.small):
            if isinstance(pool, ExpandableBlocks):
                for address, size in pool.unmap():
                    self._call(event, "segment_unmap", address, -size, pool)
            else:
                for place in pool.whole_segments():
                    self._free(pool, place, event)

    def _new_pool(self, stream: int, *, small: bool) -> FreeBlocks:
        if self.settings.expandable_segments:
            return ExpandableBlocks(self.settings, stream, small=small)
        if self._collects and not small:
            return AgedBlocks(self.settings, stream, self._clock)
        return FreeBlocks(self.settings, stream, small=small)

    def _extend(self, pool: FreeBlocks, size: int, event: int) -> tuple[int, int] | None:
        """More memory for a pool, and the block that was asked for; None: there is none."""
        segment = self.settings.segment_size(size)
        if self._limit is not None and self.reserved + segment > self._limit:
            return None
        if isinstance(pool, ExpandableBlocks):
            return self._map(pool, size, event)
        if not self._has(segment):
            return None
        address = next(self._addresses)
        pool.segments[address] = segment
        self._call(event, "segment_alloc", address, segment, pool)
        return pool.split(address, segment, size)

    def _map(self, pool: ExpandableBlocks, size: int, event: int) -> tuple[int, int] | None:
        if not pool.unmapped:
            pool.begin(next(self._addresses))
        start = pool.room(size)
        while (pages := pool.missing(start, size)) is not None:
            if not self._has(pages.size):
                return None
            pool.map(pages)
            self._call(event, "segment_map", pages.address, pages.size, pool)
        return pool.take_from(start, size)

    def _has(self, size: int) -> bool:
        return self._capacity is None or self.reserved + size <= self._capacity

    def _call(self, event: int, action: str, address: int, size: int, pool: FreeBlocks) -> None:
        self.reserved += size
        self.calls.append(DriverCall(event, action, address, abs(size), pool.stream))

    def _free(self, pool: FreeBlocks, place: Place, event: int) -> None:
        pool.drop(place.address)
        del pool.segments[place.address]
        self._call(event, "segment_free", place.address, -place.size, pool)

    def _release_oversize(self, pool: FreeBlocks, size: int, event: int) -> bool:
        """
        With `max_split_size`, give back what one request needs: the smallest segment that is enough, else the largest ones.

        Source:   `release_available_cached_blocks`.
        """
        whole = self.settings.max_split_size
        if whole is None:
            return False
        needed = max(size, whole)
        oversize = [place for place in pool.whole_segments() if place.size >= whole]
        enough = [place for place in oversize if place.size >= needed][:1]
        freed = 0
        while freed < needed and oversize:
            place = enough[0] if enough else oversize.pop()
            self._free(pool, place, event)
            freed += place.size
        return freed >= needed

    def _collect_garbage(self, event: int) -> None:
        assert self._limit is not None
        threshold = int(self.settings.garbage_collection_threshold * self._limit)
        pools = [pool for pool in self.pools.values() if isinstance(pool, AgedBlocks)]
        for pool, place in garbage(pools, self.reserved - threshold):
            self._free(pool, place, event)


def _rising() -> Iterator[int]:
    """Addresses in the order in which segments are made."""
    address = 0
    while True:
        address += GAP
        yield address
