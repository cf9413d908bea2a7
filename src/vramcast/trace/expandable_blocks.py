"""Free memory of one stream whose segment grows: pages are mapped where memory is missing."""

from vramcast.trace.allocator_settings import SMALL_SEGMENT, SMALLEST, AllocatorSettings
from vramcast.trace.free_blocks import ENDLESS, FreeBlocks, Place


class ExpandableBlocks(FreeBlocks):
    """
    As `FreeBlocks`, in one segment with more address space than the device has memory. Every rest is split off.

    `unmapped` are the stretches of the segment without memory, by address; the last one has no end.

    Source:   `ExpandableSegment`, `find_expandable_block`, `map_block`, `unmap_block`, `get_free_block`.
    Ignores:  that the address space ends at 9/8 of the device's memory, when a second segment would begin.
    """

    __slots__ = ("origin", "page", "unmapped")

    def __init__(self, settings: AllocatorSettings, stream: int, *, small: bool) -> None:
        super().__init__(settings, stream, small=small)
        self.page = SMALL_SEGMENT if small else settings.large_segment
        self.origin = 0
        self.unmapped: dict[int, int] = {}
        self._least_rest = SMALLEST
        self._split_below = ENDLESS

    def begin(self, origin: int) -> None:
        """Reserve addresses from `origin` on, without memory."""
        self.origin = origin
        self.unmapped[origin] = ENDLESS

    def adopt(self, pages: Place) -> None:
        """Start with pages that have memory, behind those of an earlier call."""
        address, size = pages
        if not self.unmapped:
            self.begin(address)
        start = max(self.unmapped)
        del self.unmapped[start]
        if start < address:
            self.unmapped[start] = address - start
        self.unmapped[address + size] = ENDLESS

    def take(self, size: int) -> tuple[int, int] | None:
        """As `FreeBlocks.take`, but a block that can grow counts as large as it can become, and so comes late."""
        found = self._by_size.get(size)
        held = size if found else self._next_size(size)
        if not held:
            return None
        address = self._by_size[held][0]
        if address + held in self.unmapped:
            address, held = self._least_growing(held)
        return self.take_from(address, size) if self._serves(held, size) else None

    def take_from(self, address: int, size: int) -> tuple[int, int]:
        """As `take`, from the free block at `address`."""
        return self.split(address, self.drop(address), size)

    def room(self, size: int) -> int:
        """The lowest address from which on `size` bytes are free or unmapped, with a free block before unmapped space."""
        for gap in sorted(self.unmapped):
            start = end = self._ends.get(gap, gap)
            while end - start < size and (more := self._starts.get(end) or self.unmapped.get(end)):
                end += more
            if end - start >= size:
                return start
        raise AssertionError("the last stretch has no end")

    def missing(self, start: int, size: int) -> Place | None:
        """The next pages to map for `size` bytes from `start` on; None: they are there."""
        held = self._starts.get(start, 0)
        if held >= size:
            return None
        gap = start + held
        return Place(gap, -(-min(size - held, self.unmapped[gap]) // self.page) * self.page)

    def map(self, pages: Place) -> None:
        """Pages have memory now, which is free."""
        address, size = pages
        space = self.unmapped.pop(address)
        if size < space:
            self.unmapped[address + size] = space - size if space < ENDLESS else ENDLESS
        self.put(address, size)

    def unmap(self) -> list[Place]:
        """Give back the pages that no block uses, and the addresses with the last of them. Where the pages were."""
        freed = []
        for address, size in list(self):
            begin = self.origin - (self.origin - address) // self.page * self.page
            end = self.origin + (address + size - self.origin) // self.page * self.page
            if begin >= end:
                continue
            self.drop(address)
            if address < begin:
                self._keep(address, begin - address)
            if end < address + size:
                self._keep(end, address + size - end)
            freed.append(Place(begin, end - begin))
            self._forget(begin, end)
        if freed and self.unmapped == {self.origin: ENDLESS}:
            self.unmapped.clear()
        return freed

    def _forget(self, begin: int, end: int) -> None:
        """Stretches that touch become one."""
        for start, size in list(self.unmapped.items()):
            if start + size == begin:
                del self.unmapped[start]
                begin = start
            elif start == end:
                del self.unmapped[start]
                end = start + size
        self.unmapped[begin] = min(end - begin, ENDLESS)

    def _least_growing(self, size: int) -> Place:
        """Of the blocks from `size` bytes on the first, or a later one as long as each can grow less far than the one before."""
        best, least = Place(0, 0), 2 * ENDLESS
        while size:
            for address in self._by_size[size]:
                extent = size + self.unmapped.get(address + size, 0)
                if extent >= least:
                    return best
                best, least = Place(address, size), extent
            size = self._next_size(size + 1)
        return best
