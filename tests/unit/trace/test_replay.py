"""The allocator's rules, each with numbers that follow from its source by hand."""

import pytest

from tests.timelines import Program
from vramcast.trace.allocator_settings import AllocatorSettings, read_settings
from vramcast.trace.replay import Replay, replay
from vramcast.trace.segment import FREE
from vramcast.units import KIB, MIB

EXPANDABLE = AllocatorSettings(expandable_segments=True)


def reserved_for(*sizes: float, settings: AllocatorSettings | None = None) -> Replay:
    """Requests that live to the end."""
    program = Program()
    for size in sizes:
        program.ask(size)
    return replay(program.timeline, settings)


def shape(done: Replay) -> list[list[tuple[float, bool]]]:
    """MiB of each part of each segment, and whether it is in use."""
    return [[(part.size / MIB, part.block != FREE) for part in segment.parts] for segment in done.segments]


@pytest.mark.parametrize(("size", "granted"), [(1, 512), (512, 512), (513, 1024), (MIB, MIB), (MIB - 1, MIB)])
def test_rounding(size: int, granted: int) -> None:
    """Blocks are multiples of 512 bytes."""
    assert reserved_for(size).granted == (granted,)


@pytest.mark.parametrize(
    ("size", "segment"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 1, 10 * MIB),  # rounded first, so no longer below 10 MiB
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (33 * MIB, 34 * MIB),
    ],
)
def test_segment_sizes(size: int, segment: int) -> None:
    """Small requests reserve 2 MiB, those below 10 MiB reserve 20 MiB, larger ones steps of 2 MiB."""
    assert reserved_for(size).reserved == segment


def test_no_bytes_reach_no_allocator() -> None:
    """An empty tensor reserves nothing and is granted nothing, also when it is freed."""
    program = Program()
    program.give(program.ask(0))
    done = replay(program.timeline)
    assert (done.reserved, done.granted, done.segments, done.calls) == (0, (0,), (), ())


def test_small_and_large_pools_are_apart() -> None:
    """1 MiB and 1 MiB + 1 reserve a segment each, though either has room for both."""
    assert [segment.size for segment in reserved_for(MIB, MIB + 1).segments] == [2 * MIB, 20 * MIB]


def test_streams_are_apart() -> None:
    """What one stream gave back, another does not get."""
    program = Program()
    program.give(program.ask(12 * MIB, stream=0))
    program.ask(12 * MIB, stream=7)
    done = replay(program.timeline)
    assert done.reserved == 24 * MIB
    assert [segment.stream for segment in done.segments] == [0, 7]


@pytest.mark.parametrize(
    ("size", "granted"),
    [
        (1.2 * MIB, 2 * MIB),  # 0.8 MiB are left of 2: too little to split off
        (1.0 * MIB + 512, 2 * MIB),
    ],
)
def test_rest_of_a_large_segment_is_handed_out_whole(size: float, granted: int) -> None:
    """9 + 9 of 20 MiB leave 2 MiB; a rest of at most 1 MiB is not split off."""
    done = reserved_for(9 * MIB, 9 * MIB, size)
    assert done.granted == (9 * MIB, 9 * MIB, granted)
    assert done.reserved == done.peak.allocated == 20 * MIB


@pytest.mark.parametrize(("size", "granted"), [(19, 20), (18.5, 18.5), (11, 12), (12, 12)])
def test_a_rest_above_one_mebibyte_is_split_off(size: float, granted: float) -> None:
    """19 of 20 MiB leave 1 MiB, which stays with the block; 18.5 leave 1.5, which is split off."""
    assert reserved_for(size * MIB).granted == (granted * MIB,)


def test_small_rests_are_split_from_512_bytes_on() -> None:
    """Two small blocks share a segment to the last 512 bytes."""
    done = reserved_for(MIB, MIB - 512, 512)
    assert done.reserved == 2 * MIB
    assert [part.size for part in done.segments[0].parts] == [MIB, MIB - 512, 512]


def test_best_fit() -> None:
    """Of free blocks of 14, 12 and 16 MiB, a request of 11 gets that of 12."""
    program = Program()
    blocks = [program.ask(size * MIB) for size in (14, 12, 16)]
    program.give(*blocks)
    taken = program.ask(11 * MIB)
    done = replay(program.timeline)
    assert (done.addresses[taken], done.granted[taken]) == (done.addresses[blocks[1]], 12 * MIB)


def test_equal_blocks_the_oldest_segment_first() -> None:
    """Given back in reverse order, segments of one size are used again in the order of their age."""
    program = Program()
    blocks = [program.ask(12 * MIB) for _ in range(3)]
    program.give(*reversed(blocks))
    again = [program.ask(12 * MIB) for _ in range(3)]
    done = replay(program.timeline)
    assert [done.addresses[block] for block in again] == [done.addresses[block] for block in blocks]


def test_equal_blocks_the_lowest_address_first_where_addresses_fall() -> None:
    """With the driver's addresses, here falling, the order is that of addresses: torch before 2.13."""
    program = Program()
    blocks = [program.ask(12 * MIB) for _ in range(2)]
    program.give(*blocks)
    again = program.ask(12 * MIB)
    done = replay(program.timeline, addresses=[100 * MIB, 50 * MIB])
    assert done.addresses[again] == done.addresses[blocks[1]] == 50 * MIB


def test_equal_blocks_of_a_segment_the_lowest_first() -> None:
    """Two holes of one size in a segment: the lower is filled first."""
    program = Program()
    blocks = [program.ask(3 * MIB) for _ in range(6)]
    program.give(blocks[3], blocks[1])
    again = program.ask(3 * MIB)
    done = replay(program.timeline)
    assert done.addresses[again] == done.addresses[blocks[1]]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_free_neighbours_are_merged(order: tuple[int, ...]) -> None:
    """Three blocks of a segment, given back in any order, are one free block again."""
    program = Program()
    for _ in range(3):
        program.ask(5 * MIB)
    program.give(*order)
    assert shape(replay(program.timeline)) == [[(20, False)]]


def test_segments_are_not_merged() -> None:
    """Two free segments of 12 MiB do not serve a request of 24."""
    program = Program()
    program.give(program.ask(12 * MIB), program.ask(12 * MIB))
    program.ask(24 * MIB)
    assert replay(program.timeline).reserved == 48 * MIB


@pytest.mark.parametrize(
    ("setting", "size", "granted"),
    [
        ("roundup_power2_divisions:4", 1200 * KIB, 1280 * KIB),  # steps of 256 KiB between 1 and 2 MiB
        ("roundup_power2_divisions:4", 5 * MIB, 5 * MIB),
        ("roundup_power2_divisions:4", 5 * MIB + 1, 6 * MIB),
        ("roundup_power2_divisions:4", 8 * MIB, 8 * MIB),
        ("roundup_power2_divisions:4", 2048, 2048),  # not above 4 · 512 bytes: as ever
        ("roundup_power2_divisions:4", 2049, 2560),
        ("roundup_power2_divisions:1", 5 * MIB + 1, 5 * MIB + 512),
        ("roundup_power2_divisions:[4:2,>:1]", 5 * MIB, 6 * MIB),  # 4 to 8 MiB in two steps
        ("roundup_power2_divisions:[4:2,>:1]", 9 * MIB, 9 * MIB),
    ],
)
def test_roundup_power2_divisions(setting: str, size: int, granted: int) -> None:
    """Sizes are rounded up to one of so many steps between powers of two."""
    assert read_settings(setting).block_size(size) == granted


def test_large_segment_size() -> None:
    """Requests between 1 and 10 MiB share segments of the size that was set."""
    assert reserved_for(2 * MIB, settings=read_settings("large_segment_size_mb:64")).reserved == 64 * MIB


def oversize(size: float) -> Replay:
    """100 MiB are given back, then `size` is asked for, with blocks of 50 MiB and more never split."""
    program = Program()
    program.give(program.ask(100 * MIB))
    program.ask(size)
    return replay(program.timeline, read_settings("max_split_size_mb:50"))


def test_max_split_size_keeps_large_blocks_from_smaller_requests() -> None:
    """A request of 30 MiB does not break the block of 100."""
    assert oversize(30 * MIB).reserved == 130 * MIB


def test_max_split_size_lets_large_requests_have_a_little_more() -> None:
    """100 MiB serve 90, whole, for 100 < 90 + 20; not 80, for 100 is not below 80 + 20."""
    assert (oversize(90 * MIB).reserved, oversize(90 * MIB).granted[1]) == (100 * MIB, 100 * MIB)
    assert (oversize(80 * MIB).reserved, oversize(80 * MIB).granted[1]) == (180 * MIB, 80 * MIB)


def test_max_split_size_releases_only_what_is_needed() -> None:
    """On a full device, of free segments of 60 and 80 MiB, the smaller that is enough goes; that is no retry."""
    program = Program()
    program.give(program.ask(60 * MIB), program.ask(80 * MIB))
    program.ask(30 * MIB)
    done = replay(program.timeline, read_settings("max_split_size_mb:50"), 150 * MIB)
    assert [(call.action, call.size // MIB) for call in done.calls[2:]] == [("segment_free", 60), ("segment_alloc", 30)]
    assert done.retries == 0


def test_max_split_size_releases_the_largest_when_none_is_enough() -> None:
    """Segments of 60 and 80 MiB make room for 130, the larger first."""
    program = Program()
    program.give(program.ask(60 * MIB), program.ask(80 * MIB))
    program.ask(130 * MIB)
    done = replay(program.timeline, read_settings("max_split_size_mb:50"), 150 * MIB)
    assert [call.size // MIB for call in done.calls[2:]] == [80, 60, 130]


def test_a_full_device_releases_its_cache_and_tries_again() -> None:
    """12 MiB in use and 12 cached of 30: a request of 14 gets them, after a retry."""
    program = Program()
    program.ask(12 * MIB)
    program.give(program.ask(12 * MIB))
    program.ask(14 * MIB)
    done = replay(program.timeline, capacity=30 * MIB)
    assert (done.retries, done.failure, done.reserved) == (1, None, 26 * MIB)


def test_a_segment_in_use_is_not_released() -> None:
    """A cached rest of a segment that is partly in use helps nobody: the report says when, what, and what was held."""
    program = Program()
    first, second = program.ask(9 * MIB), program.ask(9 * MIB)
    program.give(first)
    program.ask(12 * MIB)
    program.give(second)
    done = replay(program.timeline, capacity=30 * MIB)
    assert done.failure is not None
    assert done.failure._asdict() == {"event": 3, "bytes": 12 * MIB, "allocated": 9 * MIB, "reserved": 20 * MIB}
    assert (done.retries, len(done.stretches), shape(done)) == (1, 1, [[(9, False), (9, True), (2, False)]])


def test_empty_cache() -> None:
    """Before event 2 the cache is emptied: the same request reserves anew."""
    program = Program()
    program.give(program.ask(12 * MIB))
    program.ask(12 * MIB)
    actions = [call.action for call in replay(program.timeline, empty_cache=[2]).calls]
    assert actions == ["segment_alloc", "segment_free", "segment_alloc"]


def test_stretches() -> None:
    """What is most between two marks, after which event, and what was there before."""
    program = Program()
    first = program.ask(12 * MIB)
    program.mark("forward")
    second = program.ask(30 * MIB)
    program.give(first, second)
    program.mark("backward")
    program.ask(12 * MIB)
    load, forward, backward = replay(program.timeline).stretches
    assert load == (12 * MIB, 0, 12 * MIB, 0, 0, 0)
    assert forward == (42 * MIB, 1, 42 * MIB, 1, 12 * MIB, 12 * MIB)
    assert backward == (12 * MIB, 4, 42 * MIB, 3, 0, 42 * MIB)


def test_the_peaks_of_allocated_and_reserved_need_not_coincide() -> None:
    """60 MiB are the most allocated; later 35 find no room between 30 and 20 free ones, and reserve 36 more."""
    program = Program()
    program.give(program.ask(60 * MIB))
    program.mark("in pieces")
    lower = program.ask(30 * MIB)
    program.ask(10 * MIB)
    program.give(lower)
    program.ask(35 * MIB)
    done = replay(program.timeline)
    assert (done.peak.allocated, done.peak.event) == (60 * MIB, 0)
    assert (done.reserved, done.reserved_peak.reserved_event) == (96 * MIB, 5)
