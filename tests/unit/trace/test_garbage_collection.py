"""The allocator's garbage collection, which needs a memory limit."""

from dataclasses import replace

from tests.timelines import Program
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.replay import Replay, replay
from vramcast.units import MIB

LIMIT = AllocatorSettings(memory_limit=100 * MIB)
COLLECTING = replace(LIMIT, garbage_collection_threshold=0.64)


def freed(done: Replay) -> list[tuple[int, int]]:
    """Event and MiB of segments given back."""
    return [(call.event, call.size // MIB) for call in done.calls if call.action == "segment_free"]


def cached_then_30() -> Program:
    """
    Segments of 12, 20 and 16 MiB are given back, the first three requests before the others; then 30 are asked for.

    32 MiB are in use, so 80 are reserved, and 30 more would be 110 of 100.
    """
    program = Program()
    program.give(program.ask(12 * MIB))
    program.ask(32 * MIB)
    late = [program.ask(size * MIB) for size in (20, 16)]
    program.give(*late)
    program.ask(30 * MIB)
    return program


def test_segments_of_at_least_average_age_go() -> None:
    """64 MiB are allowed, so 16 are wanted: of ages 4, 1 and 1 only the first is above 2; 12 are too few, so the rest goes."""
    done = replay(cached_then_30().timeline, COLLECTING)
    assert freed(done) == [(7, 12), (7, 16), (7, 20)]
    assert (done.retries, done.segments[-1].size, done.stretches[0].reserved) == (0, 30 * MIB, 80 * MIB)


def test_collection_stops_when_enough_is_free() -> None:
    """With 70 MiB allowed, 10 are wanted, and the 12 of the oldest are enough."""
    done = replay(cached_then_30().timeline, replace(LIMIT, garbage_collection_threshold=0.7))
    assert freed(done) == [(7, 12)]
    assert done.reserved == 98 * MIB


def test_no_collection_below_the_threshold() -> None:
    """With 80 MiB allowed nothing is collected: the limit is met by a retry, which releases all."""
    done = replay(cached_then_30().timeline, replace(LIMIT, garbage_collection_threshold=0.8))
    assert freed(done) == [(7, 12), (7, 16), (7, 20)]
    assert done.retries == 1


def test_the_limit_alone() -> None:
    """Nothing beyond the limit is reserved, whatever the device has."""
    program = Program()
    program.ask(60 * MIB)
    program.ask(41 * MIB)
    done = replay(program.timeline, LIMIT, 200 * MIB)
    assert done.failure == (1, 41 * MIB, 60 * MIB, 60 * MIB)


def test_the_limit_counts_a_whole_segment_also_where_less_would_be_mapped() -> None:
    """Expandable: 95 MiB map 100; 4 more fit, but 5.5 do not, for the limit sees 20 MiB asked for on top of 100."""
    program = Program()
    program.ask(95 * MIB)
    program.ask(4 * MIB)
    program.ask(5.5 * MIB)
    done = replay(program.timeline, replace(LIMIT, expandable_segments=True), 200 * MIB)
    assert done.failure == (2, 5.5 * MIB, 99 * MIB, 100 * MIB)
