"""A timeline settled into an answer: its moments, the peak, the three tiers, and the terms that sum to them."""

from dataclasses import dataclass

from vramcast.catalog.process_memory import libraries, runtime_context
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Instant, Phase, Term, Tiers, Verdict
from vramcast.domain.timeline import Timeline
from vramcast.trace.account import instants
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.garbage import no_garbage
from vramcast.trace.replay import Replay, replay

IDLE = "segments held and not in use at the peak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """
    What a device would count for a timeline.

    Attributes:
        moments: the worst moment of each stretch of the program; peak: the worst of all.
        tiers: allocated, reserved, process.
        terms: those alive at the peak, idle segments and what lies outside the allocator; they sum to the process tier.
        verdict: whether it fits; None without a device.
    """

    moments: tuple[Instant, ...]
    peak: Instant
    tiers: Tiers
    terms: tuple[Term, ...]
    verdict: Verdict | None


@no_garbage()
def settle(timeline: Timeline, device: Device | None, settings: AllocatorSettings | None = None) -> Settled:
    """
    The answer that a timeline gives for a device.

    On a device that gets full the allocator gives its cached segments back and goes on, as long as live tensors fit.

    Formula:  allocated and reserved as the simulated allocator counts them; process = reserved + context + libraries;
              low = allocated + context + libraries; high = the process on a device that never gets full
    """
    outside = (runtime_context(device), libraries())
    context = sum(term.bytes for term in outside)
    endless = replay(timeline, settings)
    replayed = _within(timeline, settings, device.usable - context, endless) if device else endless
    moments = instants(timeline, replayed)
    peak = max(moments, key=lambda instant: instant.allocated)
    tiers = Tiers(
        allocated=peak.allocated,
        reserved=replayed.reserved,
        process=replayed.reserved + context,
        low=peak.allocated + context,
        high=endless.reserved + context,
    )
    return Settled(
        moments=moments,
        peak=peak,
        tiers=tiers,
        terms=(*peak.terms, _idle(replayed, peak), *outside),
        verdict=Verdict.of(tiers, device) if device else None,
    )


def _within(timeline: Timeline, settings: AllocatorSettings | None, room: int, endless: Replay) -> Replay:
    """The replay on a device that has `room` for segments; the one that needs no end if that cannot be served."""
    if endless.reserved <= room:
        return endless
    held = replay(timeline, settings, max(room, 0))
    return endless if held.failure else held


def _idle(replayed: Replay, peak: Instant) -> Term:
    idle = replayed.reserved - peak.allocated
    return Term(
        bytes=idle,
        category=Category.FRAGMENTATION,
        label=IDLE if not replayed.retries else f"{IDLE}; given back {replayed.retries}×, the device being full",
        phase=Phase.RESIDENT,
        formula="idle",
        values=(("idle", idle),),
        source="replay through the simulated caching allocator (torch CUDACachingAllocator.cpp)",
        exactness=Exactness.EXACT,
    )
