"""Expandable segments: pages are mapped where memory is missing."""

from tests.timelines import Program
from vramcast.trace.allocator_settings import AllocatorSettings, read_settings
from vramcast.trace.replay import Replay, replay
from vramcast.trace.segment import FREE
from vramcast.units import MIB

EXPANDABLE = AllocatorSettings(expandable_segments=True)


def mapped(done: Replay) -> list[tuple[str, int]]:
    """What was mapped and unmapped, in MiB."""
    return [(call.action.removeprefix("segment_"), call.size // MIB) for call in done.calls]


def shape(done: Replay) -> list[list[tuple[float, bool]]]:
    """MiB of each part of each stretch of pages, and whether it is in use."""
    return [[(part.size / MIB, part.block != FREE) for part in segment.parts] for segment in done.segments]


def test_pages_of_20_mib_and_what_is_free_at_the_end_counts() -> None:
    """15 MiB map 20; with 5 left, 30 more lack 25, which are two pages; 15 fit in what is left of those."""
    program = Program()
    for size in (15, 30, 15):
        program.ask(size * MIB)
    done = replay(program.timeline, EXPANDABLE)
    assert mapped(done) == [("map", 20), ("map", 40)]
    assert done.reserved == done.peak.allocated == 60 * MIB
    assert len(done.segments) == 1


def test_pages_of_2_mib_for_small_requests() -> None:
    """Three times 1 MiB are two pages of 2 MiB."""
    program = Program()
    for _ in range(3):
        program.ask(MIB)
    assert mapped(replay(program.timeline, EXPANDABLE)) == [("map", 2), ("map", 2)]


def test_every_rest_is_split_off() -> None:
    """19.5 of 20 MiB leave 0.5, which stay free, though the pool is the large one."""
    program = Program()
    program.ask(19.5 * MIB)
    assert shape(replay(program.timeline, EXPANDABLE)) == [[(19.5, True), (0.5, False)]]


def test_blocks_that_can_grow_are_used_last() -> None:
    """A request of 5 MiB takes 8 free ones in the middle, and not 6 at the end, which could become any number."""
    program = Program()
    middle = program.ask(8 * MIB)
    program.ask(6 * MIB)
    program.give(middle)
    late = program.ask(5 * MIB)
    done = replay(program.timeline, EXPANDABLE)
    assert done.addresses[late] == done.addresses[middle]


def test_blocks_of_two_segments_touch() -> None:
    """What were two segments of 12 MiB each is one stretch, so 24 MiB find room after they are free."""
    program = Program()
    program.give(program.ask(12 * MIB), program.ask(12 * MIB))
    program.ask(24 * MIB)
    assert replay(program.timeline, EXPANDABLE).reserved == 40 * MIB


def test_only_whole_free_pages_are_unmapped() -> None:
    """Of 30 + 40 + 10 MiB the 40 are given back: they cover the page from 40 to 60 alone."""
    program = Program()
    program.ask(30 * MIB)
    middle = program.ask(40 * MIB)
    program.ask(10 * MIB)
    program.give(middle)
    done = replay(program.timeline, EXPANDABLE, empty_cache=[4])
    assert mapped(done) == [("map", 40), ("map", 40), ("unmap", 20)]
    assert shape(done) == [[(30, True), (10, False)], [(10, False), (10, True)]]


def test_holes_are_filled_first() -> None:
    """35 MiB then start in the 10 free ones before the hole, and map its 20 again."""
    program = Program()
    program.ask(30 * MIB)
    middle = program.ask(40 * MIB)
    program.ask(10 * MIB)
    program.give(middle)
    late = program.ask(35 * MIB)
    done = replay(program.timeline, EXPANDABLE, empty_cache=[4])
    assert mapped(done)[-1] == ("map", 20)
    assert done.addresses[late] == done.addresses[middle]
    assert shape(done) == [[(30, True), (35, True), (5, False), (10, True)]]


def test_holes_too_small_are_passed_over() -> None:
    """41 MiB do not fit there: they go to the end."""
    program = Program()
    program.ask(30 * MIB)
    middle = program.ask(40 * MIB)
    program.ask(10 * MIB)
    program.give(middle)
    program.ask(41 * MIB)
    done = replay(program.timeline, EXPANDABLE, empty_cache=[4])
    assert mapped(done)[-1] == ("map", 60)


def test_a_segment_without_pages_ends() -> None:
    """All pages are given back; the next request begins a segment elsewhere."""
    program = Program()
    first = program.ask(12 * MIB)
    program.give(first)
    late = program.ask(12 * MIB)
    done = replay(program.timeline, EXPANDABLE, empty_cache=[2])
    assert mapped(done) == [("map", 20), ("unmap", 20), ("map", 20)]
    assert done.addresses[late] > done.addresses[first]


def test_a_full_device_unmaps_and_tries_again() -> None:
    """Stream 1 needs the pages that stream 0 does not use any more."""
    program = Program()
    program.give(program.ask(30 * MIB))
    program.ask(30 * MIB, stream=1)
    done = replay(program.timeline, EXPANDABLE, 50 * MIB)
    assert mapped(done) == [("map", 40), ("unmap", 40), ("map", 40)]
    assert (done.retries, done.failure) == (1, None)


def test_out_of_memory() -> None:
    """60 MiB are no 70; what was in use stays."""
    program = Program()
    program.ask(30 * MIB)
    program.ask(35 * MIB)
    done = replay(program.timeline, EXPANDABLE, 60 * MIB)
    assert done.failure == (1, 35 * MIB, 30 * MIB, 40 * MIB)


def test_max_split_size_holds_here_too() -> None:
    """A free stretch of 60 MiB does not serve 30 from the pool, but the growing end is the same stretch, and does."""
    program = Program()
    program.give(program.ask(60 * MIB))
    program.ask(30 * MIB)
    settings = read_settings("expandable_segments:True,max_split_size_mb:50")
    done = replay(program.timeline, settings)
    assert (done.reserved, done.granted[1]) == (60 * MIB, 30 * MIB)


def test_addresses_without_pages_outlive_a_release() -> None:
    """Stream 1 reserved addresses before its first page was refused; after the retry it begins there."""
    program = Program()
    program.give(program.ask(30 * MIB))
    late = program.ask(10 * MIB, stream=1)
    done = replay(program.timeline, EXPANDABLE, 50 * MIB)
    assert done.retries == 1
    assert done.addresses[late] == 2 * done.addresses[0]
