"""A timeline on a device: endless, just large enough, and too small."""

from tests.timelines import Program
from vramcast.catalog.gpus import free_form_device
from vramcast.catalog.process_memory import libraries, runtime_context
from vramcast.domain.timeline import Timeline
from vramcast.trace.settled import Settled, settle
from vramcast.units import MIB

FIRST, SECOND, KEPT = 40 * MIB, 44 * MIB, 12 * MIB


def two_segments() -> Timeline:
    """A block that is freed before a larger one comes, which does not fit into its segment; a third lives throughout."""
    program = Program()
    program.mark("step 1 forward")
    program.ask(KEPT)
    program.give(program.ask(FIRST))
    program.mark("step 1 backward")
    program.ask(SECOND)
    return program.timeline


def on_a_device_with(room: int) -> Settled:
    """The answer for a device with `room` for segments."""
    outside = runtime_context(free_form_device(10**12)).bytes + libraries().bytes
    return settle(two_segments(), free_form_device(outside + room))


def test_a_large_device_keeps_what_was_freed() -> None:
    """Both segments stay; the figure and the high end of its band are one."""
    answer = on_a_device_with(200 * MIB)
    assert answer.tiers.reserved == FIRST + SECOND + KEPT
    assert answer.tiers.allocated == SECOND + KEPT
    assert answer.tiers.high == answer.tiers.process
    assert answer.verdict is not None and answer.verdict.status == "fits"


def test_a_full_device_gives_cached_segments_back() -> None:
    """What is cached makes room, so the run fits, if tightly; the band says what a larger device would hold."""
    answer = on_a_device_with(60 * MIB)
    assert answer.tiers.reserved == SECOND + KEPT
    assert answer.tiers.high - answer.tiers.process == FIRST
    assert answer.verdict is not None and answer.verdict.status == "tight"
    assert any("given back 1×" in term.label for term in answer.terms)


def test_a_device_too_small_for_live_tensors() -> None:
    """Nothing helps, and the answer is what an endless device would hold."""
    answer = on_a_device_with(50 * MIB)
    assert answer.tiers.reserved == FIRST + SECOND + KEPT
    assert answer.verdict is not None and not answer.verdict.fits
