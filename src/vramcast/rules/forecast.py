"""From instants to the finished record: the peak, the three tiers, the verdict."""

from collections.abc import Sequence

from vramcast.domain.device import Device
from vramcast.domain.forecast import Assumption, Forecast, Instant, Tiers, Verdict
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Run
from vramcast.domain.stack import Stack
from vramcast.rules.runtime import fragmentation, libraries, runtime_context


def finish(
    model: ModelSpec,
    run: Run,
    stack: Stack,
    device: Device | None,
    *,
    instants: Sequence[Instant],
    no_reuse: int,
    paged: int = 0,
    assumptions: tuple[Assumption, ...],
    unmodelled: tuple[str, ...],
) -> Forecast:
    """
    The forecast whose peak is the largest of `instants`.

    Reserved is the most that live tensors and blocks lying idle needed at any instant: the allocator keeps what it once
    took. The band reaches from no fragmentation at all to no reuse between categories, paged states resident.

    Formula:  reserved = max_i(allocated_i + idle_i); process = reserved + context; low = allocated + context;
              high = max(no reuse, reserved) + context + paged
    """
    peak = max(instants, key=lambda instant: instant.allocated)
    allocated = peak.allocated
    reserved = max(instant.allocated + instant.idle for instant in instants)
    outside = (runtime_context(device), libraries())
    context = sum(term.bytes for term in outside)
    process = reserved + context
    label = "freed blocks too small for what is asked next" if reserved > allocated else "cached, not in use"
    terms = (*peak.terms, fragmentation(reserved - allocated, label), *outside)
    tiers = Tiers(
        allocated=allocated,
        reserved=reserved,
        process=process,
        low=allocated + context,
        high=max(no_reuse, reserved) + context + paged,
    )
    return Forecast(
        model=model,
        run=run,
        stack=stack,
        device=device,
        tiers=tiers,
        terms=terms,
        instants=tuple(instants),
        peak=peak,
        verdict=judge(tiers, device) if device else None,
        assumptions=assumptions,
        unmodelled=unmodelled,
    )


def judge(tiers: Tiers, device: Device) -> Verdict:
    """Fits if the process tier does; tight if it does but the high end of the band does not."""
    headroom = device.usable - tiers.process
    if headroom < 0:
        return Verdict(status="does not fit", capacity=device.usable, headroom=headroom)
    tight = tiers.high > device.usable
    return Verdict(status="tight" if tight else "fits", capacity=device.usable, headroom=headroom)
