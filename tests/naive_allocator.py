"""The allocator's rules again, in the plainest way: lists that are searched from end to end."""

from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.units import MIB

Layout = list[list[tuple[int, bool]]]


class Segment:
    """Parts as [bytes, number of the block or None]."""

    def __init__(self, size: int, stream: int, *, small: bool) -> None:
        self.kind = stream, small
        self.parts: list[list[int | None]] = [[size, None]]

    def merge(self) -> None:
        """Free neighbours become one."""
        merged: list[list[int | None]] = []
        for size, block in self.parts:
            if merged and merged[-1][1] is None and block is None:
                merged[-1][0] += size
            else:
                merged.append([size, block])
        self.parts = merged


def naive_layout(timeline: Timeline, settings: AllocatorSettings) -> tuple[list[int], Layout]:
    """Bytes granted to each block, and the segments at the end in order of their age. No expandable segments."""
    segments: list[Segment] = []
    granted = [0] * len(timeline.blocks)
    for born, number in timeline.events:
        block = timeline.blocks[number]
        if not block.bytes:
            continue
        if not born:
            for segment in segments:
                for part in segment.parts:
                    part[1] = None if part[1] == number else part[1]
                segment.merge()
            continue
        size = settings.block_size(block.bytes)
        small = size <= MIB
        segment, at = _best(segments, size, (block.stream, small), settings)
        if segment is None:
            segment, at = Segment(settings.segment_size(size), block.stream, small=small), 0
            segments.append(segment)
        held = segment.parts[at][0]
        whole = settings.max_split_size
        if held - size >= 512 and (small or (held - size > MIB and (whole is None or size < whole))):
            segment.parts[at : at + 1] = [[size, number], [held - size, None]]
            held = size
        else:
            segment.parts[at][1] = number
        granted[number] = held
    return granted, [[(size, block is not None) for size, block in segment.parts] for segment in segments]


def _best(
    segments: list[Segment], size: int, kind: tuple[int, bool], settings: AllocatorSettings
) -> tuple[Segment | None, int]:
    """The smallest free part that is large enough, of the oldest segment, at the lowest place; if it may serve."""
    fitting = [
        (part[0], age, at)
        for age, segment in enumerate(segments)
        for at, part in enumerate(segment.parts)
        if segment.kind == kind and part[1] is None and part[0] >= size
    ]
    if not fitting:
        return None, 0
    held, age, at = min(fitting)
    whole = settings.max_split_size
    if whole is not None and (held >= whole if size < whole else held >= size + settings.max_non_split_rounding):
        return None, 0
    return segments[age], at
