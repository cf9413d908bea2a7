"""Free memory that remembers since when it is free, for the allocator's garbage collection."""

from collections.abc import Iterable

from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.free_blocks import FreeBlocks, Place


class Clock:
    """Counts the requests to the large pools of a device."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class AgedBlocks(FreeBlocks):
    """As `FreeBlocks`; a block's age is the number of requests, of any stream, since it became free."""

    __slots__ = ("_clock", "_since")

    def __init__(self, settings: AllocatorSettings, stream: int, clock: Clock) -> None:
        super().__init__(settings, stream, small=False)
        self._clock = clock
        self._since: dict[int, int] = {}

    def take(self, size: int) -> tuple[int, int] | None:
        """As `FreeBlocks.take`."""
        self._clock.now += 1
        return super().take(size)

    def age(self, address: int) -> int:
        """Requests since the block became free."""
        return self._clock.now - self._since[address]

    def _keep(self, address: int, size: int) -> None:
        super()._keep(address, size)
        self._since[address] = self._clock.now


def garbage(pools: Iterable[AgedBlocks], target: int) -> list[tuple[AgedBlocks, Place]]:
    """
    Cached segments to give back: those of at least average age, again and again until they make up `target` bytes.

    Source:   `garbage_collect_cached_blocks`.
    """
    left = [(pool, place, pool.age(place.address)) for pool in pools for place in pool.whole_segments()]
    found: list[tuple[AgedBlocks, Place]] = []
    reclaimed = 0
    while left and reclaimed < target:
        average = sum(age for _, _, age in left) / len(left)
        old = [(pool, place) for pool, place, age in left if age >= average]
        left = [one for one in left if one[2] < average]
        found += old
        reclaimed += sum(place.size for _, place in old)
    return found
