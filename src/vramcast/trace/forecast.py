"""The second witness's answer: the real code runs on the stand-in device, and what it held becomes a forecast."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from vramcast.domain.device import Device
from vramcast.domain.forecast import Assumption, Category, Engine, Forecast, Phase
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import AttentionKernel, Run, ServeRun
from vramcast.domain.stack import Stack
from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.attention import attention_of
from vramcast.trace.build import build
from vramcast.trace.caches import cache_of
from vramcast.trace.generate import serve
from vramcast.trace.kernels import Target, hidden
from vramcast.trace.quantized import place, scales
from vramcast.trace.repeat import shorten
from vramcast.trace.session import tracing
from vramcast.trace.settled import settle
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
            serve(built.model, run, recorder, cache=cache_of(run, built.model), progress=progress)
        else:
            train(built.model, run, stack, recorder, evaluate=run.evaluate, gather=run.save, progress=progress)
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
    """The record of a traced run: peak, tiers, and the terms alive at each phase's worst moment."""
    settings = AllocatorSettings(expandable_segments=stack.expandable_segments)
    settled = settle(traced.timeline, device, settings)
    return Forecast(
        model=model,
        run=run,
        stack=stack,
        device=device,
        tiers=settled.tiers,
        terms=settled.terms,
        instants=settled.moments,
        peak=settled.peak,
        verdict=settled.verdict,
        assumptions=assumptions,
        unmodelled=(*traced.notes, *_left_out()),
        engine=Engine.TRACE,
    )


def _left_out() -> tuple[str, ...]:
    return (
        "padded batches (their attention mask), torch.compile",
        "how a checkpoint is loaded: what that leaves in the allocator's cache",
        "other processes and the display on the same device",
    )
