"""Laws of the simulated allocator, whatever a program asks for."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.naive_allocator import naive_layout
from tests.timelines import Program, timelines
from vramcast.domain.errors import VramcastError
from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator_settings import INTERVALS, AllocatorSettings, read_settings, write_settings
from vramcast.trace.plain_pickle import loads_plain
from vramcast.trace.replay import Replay, replay
from vramcast.trace.segment import FREE
from vramcast.trace.snapshot import snapshot_of
from vramcast.trace.snapshot_replay import compare_with
from vramcast.trace.snapshot_writer import simulated_snapshot, write_snapshot
from vramcast.units import MIB

COUNTS = st.sampled_from([0, 1, 2, 4, 8])
SETTINGS = st.builds(
    AllocatorSettings,
    expandable_segments=st.booleans(),
    max_split_size=st.none() | st.integers(20, 64).map(lambda size: size * MIB),
    roundup_power2_divisions=st.just((0,) * INTERVALS)
    | st.lists(COUNTS, min_size=INTERVALS, max_size=INTERVALS).map(tuple),
)
COLLECTING = st.builds(
    AllocatorSettings,
    memory_limit=st.integers(20, 300).map(lambda size: size * MIB),
    garbage_collection_threshold=st.floats(0.1, 0.9),
)
CAPACITIES = st.none() | st.integers(0, 400).map(lambda size: size * MIB)


def served(timeline: Timeline, done: Replay) -> int:
    """Events that the replay got through."""
    return len(timeline.events) if done.failure is None else done.failure.event


@given(timelines(), SETTINGS | COLLECTING, CAPACITIES)
def test_live_blocks_do_not_overlap(timeline: Timeline, settings: AllocatorSettings, capacity: int | None) -> None:
    """At every birth the new block lies apart from all that live, and is at least as large as was asked."""
    done = replay(timeline, settings, capacity)
    live: dict[int, tuple[int, int]] = {}
    for born, number in timeline.events[: served(timeline, done)]:
        if not timeline.blocks[number].bytes:
            assert done.granted[number] == 0
        elif born:
            start, end = done.addresses[number], done.addresses[number] + done.granted[number]
            assert end - start >= timeline.blocks[number].bytes
            assert all(end <= other or start >= until for other, until in live.values())
            live[number] = start, end
        else:
            del live[number]


@given(timelines(), SETTINGS | COLLECTING, CAPACITIES)
def test_nothing_is_lost(timeline: Timeline, settings: AllocatorSettings, capacity: int | None) -> None:
    """At the end the segments are what was got less what was given back, and what is in use is what lives."""
    done = replay(timeline, settings, capacity)
    sign = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}
    assert sum(segment.size for segment in done.segments) == sum(call.size * sign[call.action] for call in done.calls)
    live = set()
    for born, number in timeline.events[: served(timeline, done)]:
        (live.add if born else live.discard)(number)
    used = {part.block for segment in done.segments for part in segment.parts} - {FREE}
    assert used == {number for number in live if timeline.blocks[number].bytes}
    assert sum(segment.in_use for segment in done.segments) == sum(done.granted[number] for number in live)


@given(timelines(), SETTINGS)
def test_as_the_plainest_allocator(timeline: Timeline, settings: AllocatorSettings) -> None:
    """Searching all parts of all segments each time gives the same blocks and the same segments."""
    plain = replace(settings, expandable_segments=False)
    done = replay(timeline, plain)
    granted, layout = naive_layout(timeline, plain)
    assert list(done.granted) == granted
    by_age = sorted(done.segments, key=lambda segment: segment.address)
    assert [[(part.size, part.block != FREE) for part in segment.parts] for segment in by_age] == layout


@given(timelines(), SETTINGS)
def test_free_parts_do_not_touch(timeline: Timeline, settings: AllocatorSettings) -> None:
    """Free neighbours are always merged."""
    for segment in replay(timeline, settings).segments:
        free = [part.block == FREE for part in segment.parts]
        assert not any(one and other for one, other in pairwise(free))


@given(timelines(), SETTINGS | COLLECTING, CAPACITIES)
def test_reserved_bounds_allocated(timeline: Timeline, settings: AllocatorSettings, capacity: int | None) -> None:
    """No stretch has more allocated than reserved, nor more reserved than the device has or the limit allows."""
    done = replay(timeline, settings, capacity)
    for stretch in done.stretches:
        assert stretch.allocated_before <= stretch.allocated <= stretch.reserved
        assert stretch.reserved_before <= stretch.reserved
        assert capacity is None or stretch.reserved <= capacity
        assert settings.memory_limit is None or stretch.reserved <= settings.memory_limit
    if done.failure is not None:
        assert done.failure.allocated <= done.failure.reserved <= done.reserved


@given(timelines(), SETTINGS | COLLECTING, CAPACITIES)
def test_the_same_again(timeline: Timeline, settings: AllocatorSettings, capacity: int | None) -> None:
    """A replay depends on nothing but what it is given."""
    assert replay(timeline, settings, capacity) == replay(timeline, settings, capacity)


@given(timelines(), SETTINGS)
def test_marks_and_capacity_that_is_enough_change_nothing(timeline: Timeline, settings: AllocatorSettings) -> None:
    """Where a program is marked, and memory that it does not need, are nothing to the allocator."""
    done = replay(timeline, settings)
    bare = replay(Timeline(blocks=timeline.blocks, events=timeline.events), settings, done.reserved)
    assert (bare.segments, bare.retries, bare.peak.allocated) == (done.segments, 0, done.peak.allocated)
    assert len(done.stretches) == len(timeline.marks) + 1


@given(timelines(streams=1))
def test_expandable_segments_reserve_pages_up_to_the_highest_address(timeline: Timeline) -> None:
    """Each pool reserves the pages that its blocks reached, and not one more."""
    done = replay(timeline, AllocatorSettings(expandable_segments=True))
    reached: dict[bool, int] = {}
    first: dict[bool, int] = {}
    for number, block in enumerate(timeline.blocks):
        small = block.bytes <= MIB
        if block.bytes:
            first[small] = min(first.get(small, done.addresses[number]), done.addresses[number])
            end = done.addresses[number] + done.granted[number]
            reached[small] = max(reached.get(small, 0), end)
    pages = {True: 2 * MIB, False: 20 * MIB}
    expected = sum(-(-(reached[small] - first[small]) // pages[small]) * pages[small] for small in reached)
    assert sum(segment.size for segment in done.segments) == expected


@given(timelines(), SETTINGS, CAPACITIES)
def test_a_snapshot_is_read_as_it_was_written(
    timeline: Timeline, settings: AllocatorSettings, capacity: int | None
) -> None:
    """Written in torch's form and read back, a simulated snapshot is the same."""
    snapshot = simulated_snapshot(timeline, replay(timeline, settings, capacity), settings)
    assert snapshot_of(loads_plain(write_snapshot(snapshot)), "written") == snapshot


@given(timelines(), SETTINGS)
def test_a_snapshot_replays_to_itself(timeline: Timeline, settings: AllocatorSettings) -> None:
    """A simulated snapshot, replayed from its own actions, puts every block where it was."""
    compared = compare_with(simulated_snapshot(timeline, replay(timeline, settings), settings), oldest_first=True)
    assert compared.equal
    assert compared.reserved[0] == compared.reserved[1]
    assert compared.active[0] == compared.active[1]


@given(timelines(), st.booleans(), CAPACITIES)
def test_a_snapshot_of_a_full_device_replays_to_itself(
    timeline: Timeline, expandable: bool, capacity: int | None
) -> None:
    """Cached segments that were given back are given back again, though the replay knows no capacity."""
    settings = AllocatorSettings(expandable_segments=expandable)
    snapshot = simulated_snapshot(timeline, replay(timeline, settings, capacity), settings)
    assert compare_with(snapshot, oldest_first=True).equal


@given(st.data(), timelines("small", "whole"), st.booleans())
def test_a_recording_may_begin_late(data: st.DataObject, timeline: Timeline, expandable: bool) -> None:
    """Without the first actions, the blocks that were there are found from those that follow and from the end."""
    settings = AllocatorSettings(expandable_segments=expandable)
    snapshot = simulated_snapshot(timeline, replay(timeline, settings), settings)
    begun = data.draw(st.integers(0, len(snapshot.entries)))
    late = replace(snapshot, entries=snapshot.entries[begun:])
    assert compare_with(late, oldest_first=True).equal


def _written() -> bytes:
    """A snapshot of a short program."""
    program = Program()
    for size in (3, 5, 0.2, 12, 0.7):
        program.ask(size * MIB)
    program.give(1, 2)
    program.ask(4 * MIB)
    return write_snapshot(simulated_snapshot(program.timeline, replay(program.timeline), AllocatorSettings()))


WRITTEN = _written()
BYTES = st.integers(0, 255).filter(lambda value: value != 0x96)  # a cut bytearray makes CPython's pickle print an error


@given(st.lists(st.tuples(st.integers(0, len(WRITTEN) - 1), BYTES), min_size=1, max_size=3))
def test_a_damaged_snapshot_is_an_error_that_says_so(changes: list[tuple[int, int]]) -> None:
    """With a few bytes changed it is read, or it is the input's fault; nothing else happens."""
    data = bytearray(WRITTEN)
    for at, value in changes:
        data[at] = value
    try:
        compare_with(snapshot_of(loads_plain(bytes(data)), "damaged"))
    except ValueError as error:  # not a plain pickle
        assert str(error)
    except VramcastError as error:
        assert error.what


@given(SETTINGS)
def test_settings_are_read_as_they_were_written(settings: AllocatorSettings) -> None:
    """Text of settings, read back."""
    assert read_settings(write_settings(settings)) == settings
