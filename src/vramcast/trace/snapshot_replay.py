"""A snapshot replayed through the simulated allocator, beside what the real one did."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, count

from vramcast.domain.errors import UnsupportedError
from vramcast.trace.allocator import GAP
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.recorded import Recording, recorded
from vramcast.trace.replay import Replay
from vramcast.trace.replay import replay as replay_timeline
from vramcast.trace.segment import FREE, Part, Segment
from vramcast.trace.snapshot import FREE as INACTIVE
from vramcast.trace.snapshot import Snapshot

SPREAD = 2  # addresses are doubled, so that segments that the driver put side by side do not touch


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    A replay beside the snapshot it replays.

    Attributes:
        recording, replay: what was asked, and what the simulated allocator did.
        oldest_first: whether equal blocks are used in the order of their segments' age (torch 2.13), or by address.
        misplaced: blocks that the simulated allocator put elsewhere.
        reserved, active: bytes at the end, real and simulated.
        same_segments: the segments at the end are equal, block by block.
    """

    recording: Recording
    replay: Replay
    oldest_first: bool
    misplaced: tuple[int, ...]
    reserved: tuple[int, int]
    active: tuple[int, int]
    same_segments: bool

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return self.same_segments and not self.misplaced


def compare_with(snapshot: Snapshot, *, oldest_first: bool | None = None) -> Comparison:
    """
    Replay a snapshot, and compare.

    Args:
        snapshot: with recorded actions; without any, its segments are only taken over.
        oldest_first: the order of equal blocks; None: whichever fits better, for a snapshot does not name torch's version.

    Raises:
        InputError: the snapshot contradicts itself.
        UnsupportedError: it has expandable segments and others.
    """
    settings = _settings(snapshot)
    recording = recorded(snapshot, settings)
    orders = (True, False) if oldest_first is None else (oldest_first,)
    compared = [_compare(snapshot, recording, settings, oldest_first=order) for order in orders]
    return min(compared, key=lambda one: len(one.misplaced))


def _settings(snapshot: Snapshot) -> AllocatorSettings:
    """Segments show whether they are expandable, also where the settings are not told."""
    kinds = {segment.expandable for segment in snapshot.segments}
    if len(kinds) > 1:
        raise UnsupportedError(
            "the snapshot has expandable segments and others", "set expandable_segments once, at the start"
        )
    return replace(snapshot.settings, expandable_segments=kinds.pop()) if kinds else snapshot.settings


def _compare(
    snapshot: Snapshot, recording: Recording, settings: AllocatorSettings, *, oldest_first: bool
) -> Comparison:
    bases = _bases(recording, settings, oldest_first=oldest_first)
    known = len(recording.start)
    spare = count(max(bases, default=0) + GAP, GAP)
    replay = replay_timeline(
        recording.timeline,
        settings,
        empty_cache=recording.released,
        start=[_moved(segment, base) for segment, base in zip(recording.start, bases, strict=False)],
        addresses=chain(bases[known:], spare),
    )
    spots = (bases[segment] + offset for segment, offset in recording.spots)
    pairs = enumerate(zip(replay.addresses, spots, recording.timeline.blocks, strict=True))
    return Comparison(
        recording=recording,
        replay=replay,
        oldest_first=oldest_first,
        misplaced=tuple(number for number, (got, real, block) in pairs if got != real and block.bytes),
        reserved=(snapshot.reserved, sum(segment.size for segment in replay.segments)),
        active=(snapshot.active, sum(segment.in_use for segment in replay.segments)),
        same_segments=_real_shapes(snapshot) == _shapes(replay),
    )


def _bases(recording: Recording, settings: AllocatorSettings, *, oldest_first: bool) -> list[int]:
    """Addresses of segments in the simulation: real ones, or rising ones for those that are made in it."""
    if settings.expandable_segments:
        return list(recording.segments)
    spread = [address * SPREAD for address in recording.segments]
    if not oldest_first:
        return spread
    known = spread[: len(recording.start)]
    first = max(known, default=0) + GAP
    return [*known, *range(first, first + GAP * (len(spread) - len(known)), GAP)]


def _moved(segment: Segment, base: int) -> Segment:
    by = base - segment.address
    return replace(segment, address=base, parts=tuple(Part(at + by, size, block) for at, size, block in segment.parts))


def _shapes(replay: Replay) -> Counter[tuple[object, ...]]:
    """Segments without their addresses."""
    return Counter(
        (segment.small, tuple((part.size, part.block != FREE) for part in segment.parts)) for segment in replay.segments
    )


def _real_shapes(snapshot: Snapshot) -> Counter[tuple[object, ...]]:
    return Counter(
        (segment.small, tuple((block.size, block.state != INACTIVE) for block in segment.blocks))
        for segment in snapshot.segments
    )
