"""A segment of device memory, and how it is divided."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vramcast.trace.free_blocks import Place

FREE = -1


class Part(NamedTuple):
    """A piece of a segment: in use by block number `block` of the timeline, or `FREE`."""

    address: int
    size: int
    block: int = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """
    Memory from one request to the driver; of an expandable segment, pages that touch.

    Raises:
        AssertionError: the parts do not fill the segment from end to end.
    """

    address: int
    size: int
    stream: int
    small: bool
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        end = self.address
        for part in self.parts:
            assert part.address == end, (part, end)
            end += part.size
        assert end == self.address + self.size

    @property
    def in_use(self) -> int:
        """Bytes of the parts in use."""
        return sum(part.size for part in self.parts if part.block != FREE)


def segments_of(stream: int, free: Iterable[Place], used: Iterable[Part], *, small: bool) -> Iterator[Segment]:
    """The segments that free and used parts of one pool make up: parts that touch are of one segment."""
    parts = sorted([*(Part(*place) for place in free), *used])
    start = 0
    for at, part in enumerate(parts):
        end = part.address + part.size
        if at + 1 == len(parts) or parts[at + 1].address != end:
            first = parts[start].address
            filled = tuple(parts[start : at + 1])
            yield Segment(address=first, size=end - first, stream=stream, small=small, parts=filled)
            start = at + 1
