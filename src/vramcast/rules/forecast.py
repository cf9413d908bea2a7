"""From instants to the finished record: the peak, the three tiers, the verdict."""

from collections.abc import Sequence

from vramcast.catalog.process_memory import libraries, runtime_context
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Assumption, Category, Forecast, Instant, Phase, Term, Tiers, Verdict
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Run
from vramcast.domain.stack import Stack


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
    took. The band reaches from no fragmentation at all to no reuse (`no_reuse`), paged states resident.

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
        verdict=Verdict.of(tiers, device) if device else None,
        assumptions=assumptions,
        unmodelled=unmodelled,
    )


def fragmentation(idle: int, label: str) -> Term:
    """
    Segments that the allocator holds and no live tensor fills at the peak.

    Formula:  idle: freed blocks too small for what is asked next
    Source:   torch CUDACachingAllocator.cpp: freed segments stay cached, a request takes the smallest free block that is
              large enough, segments of 10 MiB and more are rounded up to 2 MiB.
    Ignores:  unused ends of segments; the order of the many small requests, which only a replay of the real events gives.
    """
    return Term(
        bytes=idle,
        category=Category.FRAGMENTATION,
        label=label,
        phase=Phase.RESIDENT,
        formula="idle",
        values=(("idle", idle),),
        source="torch CUDACachingAllocator.cpp",
        exactness=Exactness.MODELLED,
    )
