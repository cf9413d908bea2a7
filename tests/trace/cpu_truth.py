"""The same training step twice: on real tensors of the CPU, and traced in the CPU's dress."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from tests.trace.allocator_events import Announcer, Birth, Curve, allocations
from vramcast.domain.run import TrainRun
from vramcast.domain.stack import Stack
from vramcast.trace.quantized import place
from vramcast.trace.session import CPU, tracing
from vramcast.trace.train_step import train

Build = Callable[[], nn.Module]


def stack(name: str = "torch", **defaults: str) -> Stack:
    """A stack with these defaults."""
    return Stack(
        name=name,
        version="",
        checked="",
        source="",
        versions=(),
        defaults=tuple({"holds_logits": "yes", **defaults}.items()),
    )


def real_curve(build: Build, run: TrainRun, how: Stack, **options: Any) -> Curve:
    """Births of the real step's storages."""
    torch.manual_seed(0)
    model = build()
    resident = _bytes([*model.parameters(), *model.buffers()])
    return allocations(lambda: train(model, run, how, Announcer(), **options), resident)


def traced_curve(build: Build, run: TrainRun, how: Stack, device: str = CPU, **options: Any) -> Curve:
    """Births of the traced step's storages."""
    with torch.device("meta"):
        model = build()
    with tracing(device) as recorder:
        place(model, device)
        recorder.places.know(model)
        train(model, run, how, recorder, **options)
    timeline = recorder.timeline()
    marks = {mark.event: mark.name for mark in timeline.marks}
    curve: Curve = []
    live = 0
    for number, (born, block) in enumerate(timeline.events):
        if number in marks:
            curve.append(marks[number])
        size = timeline.blocks[block].bytes
        live += size if born else -size
        if born and curve:
            curve.append(Birth(size, live))
    return curve + [mark.name for mark in timeline.marks if mark.event == len(timeline.events)]


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
