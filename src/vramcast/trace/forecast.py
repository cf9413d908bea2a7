"""The second witness's answer: the real code runs on the stand-in device, and what it held becomes a forecast."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from vramcast.catalog.process_memory import libraries, runtime_context
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Assumption, Category, Engine, Forecast, Instant, Phase, Term, Tiers, Verdict
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import AttentionKernel, Run, ServeRun
from vramcast.domain.stack import Stack
from vramcast.domain.timeline import Timeline
from vramcast.trace.account import instants
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.attention import attention_of
from vramcast.trace.build import build
from vramcast.trace.generate import serve
from vramcast.trace.kernels import Target, hidden
from vramcast.trace.quantized import place, scales
from vramcast.trace.repeat import shorten
from vramcast.trace.replay import Replay, replay
from vramcast.trace.session import tracing
from vramcast.trace.train_step import train
from vramcast.trace.unfold import NotPeriodicError, unfold

Progress = Callable[[str], None]
FORCED = (AttentionKernel.FLASH, AttentionKernel.CUDNN, AttentionKernel.EFFICIENT, AttentionKernel.MATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """The events of a run, how many parameters the model has, and what the builder has to say."""

    timeline: Timeline
    parameters: int
    notes: tuple[str, ...]


def trace_run(
    config: Mapping[str, object],
    run: Run,
    stack: Stack,
    device: Device | None,
    *,
    fold: bool = True,
    progress: Progress | None = None,
) -> Traced:
    """
    The events of a run of the model that `config` describes, as `device` would see them.

    `fold`: equal layers are traced once where their events repeat, which gives the same timeline.

    Raises:
        InputError, UnsupportedError: transformers does not know the model, or the trace the run.
    """
    try:
        return _traced(config, run, stack, device, fold=fold, progress=progress)
    except NotPeriodicError:
        return _traced(config, run, stack, device, fold=False, progress=progress)


def _traced(
    config: Mapping[str, object],
    run: Run,
    stack: Stack,
    device: Device | None,
    *,
    fold: bool,
    progress: Progress | None,
) -> Traced:
    target = Target(
        capability=device.capability if device else None,
        multiprocessors=device.multiprocessors if device else None,
        torch=torch_version(stack),
        kept_workspace=stack.kept_workspace,
    )
    forced = run.attention if run.attention in FORCED else None
    built = build(config, run, shorten=shorten if fold else None)
    with tracing(hidden=partial(hidden, target=target)) as recorder, attention_of(target.capability, forced):
        recorder.enter_phase(Phase.LOAD, "load")
        place(built.model, recorder.device)
        recorder.places.know(built.model)
        recorder.locate(built.model)
        for weight, tensors in scales(built.model):
            recorder.belong(tensors, weight)
            recorder.label(tensors, Category.PARAMETERS)
        if isinstance(run, ServeRun):
            serve(built.model, run, recorder, progress=progress)
        else:
            train(built.model, run, stack, recorder, progress=progress)
        timeline = recorder.timeline()
    if built.shallow is not None:
        timeline = unfold(timeline, built.shallow.pattern, built.shallow.extra, recorder.gathered)
    return Traced(timeline=timeline, parameters=built.parameters, notes=built.notes)


def torch_version(stack: Stack) -> tuple[int, int]:
    """Major and minor version of the stack's torch."""
    major, minor, *_ = dict(stack.versions)["torch"].split(".")
    return int(major), int(minor)


def forecast(
    model: ModelSpec,
    traced: Traced,
    run: Run,
    stack: Stack,
    device: Device | None,
    assumptions: tuple[Assumption, ...],
) -> Forecast:
    """
    The record of a traced run: peak, tiers, and the terms alive at each phase's worst moment.

    Formula:  allocated and reserved as the simulated allocator counts them; process = reserved + context + libraries;
              low = allocated + context + libraries; high = process
    """
    replayed = replay(traced.timeline, AllocatorSettings(expandable_segments=stack.expandable_segments))
    moments = instants(traced.timeline, replayed)
    peak = max(moments, key=lambda instant: instant.allocated)
    outside = (runtime_context(device), libraries())
    terms = (*peak.terms, _idle(replayed, peak), *outside)
    process = replayed.reserved + sum(term.bytes for term in outside)
    tiers = Tiers(
        allocated=peak.allocated,
        reserved=replayed.reserved,
        process=process,
        low=process - replayed.reserved + peak.allocated,
        high=process,
    )
    return Forecast(
        model=model,
        run=run,
        stack=stack,
        device=device,
        tiers=tiers,
        terms=terms,
        instants=moments,
        peak=peak,
        verdict=Verdict.of(tiers, device) if device else None,
        assumptions=assumptions,
        unmodelled=(*traced.notes, *_left_out()),
        engine=Engine.TRACE,
    )


def _idle(replayed: Replay, peak: Instant) -> Term:
    idle = replayed.reserved - peak.allocated
    return Term(
        bytes=idle,
        category=Category.FRAGMENTATION,
        label="segments held and not in use at the peak",
        phase=Phase.RESIDENT,
        formula="idle",
        values=(("idle", idle),),
        source="replay through the simulated caching allocator (torch CUDACachingAllocator.cpp)",
        exactness=Exactness.EXACT,
    )


def _left_out() -> tuple[str, ...]:
    return (
        "padded batches (their attention mask), torch.compile",
        "other processes and the display on the same device",
    )
