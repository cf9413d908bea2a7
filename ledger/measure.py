"""A case on a real device: real weights, real steps, and what the device says of its memory, phase by phase."""

import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ledger.matrix import Case
from ledger.rows import Reading
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Phase
from vramcast.trace.build import build
from vramcast.trace.kinds import Kinds
from vramcast.trace.quantized import place
from vramcast.trace.train_step import train

SPREAD = 0.02  # of random weights


class Counters(Protocol):
    """What a device says of its memory."""

    def begin(self) -> None:
        """The model is there, the steps begin."""

    def reset(self) -> None:
        """Forget the peaks."""

    def read(self) -> tuple[int, int, int]:
        """Peak of allocated and of reserved bytes since the last reset, and the process's bytes now."""


class Meter:
    """Takes what a training step says for the ends of phases, and reads the counters there."""

    now = 0

    def __init__(self, device: str, counters: Counters) -> None:
        self.device = device
        self.kinds = Kinds()
        self.readings: list[Reading] = []
        self._counters = counters
        self._phase: tuple[Phase, str] | None = None

    def enter_phase(self, phase: Phase, name: str) -> None:
        """One phase ends, another begins."""
        self.end()
        self._phase = phase, name

    def end(self) -> None:
        """The last phase ends."""
        if self._phase is not None:
            allocated, reserved, process = self._counters.read()
            phase, name = self._phase
            self.readings.append(
                Reading(phase=phase, name=name, allocated=allocated, reserved=reserved, process=process)
            )
        self._counters.reset()

    def forget_graph(self) -> None:
        """There is none."""

    def label(self, tensors: Iterable[Tensor], category: Category) -> None:
        """Nothing is labelled."""

    def belong(self, tensors: Iterable[Tensor], owner: Tensor) -> None:
        """Nothing belongs."""

    def label_since(self, event: int, category: Category) -> None:
        """Nothing is labelled."""


def real_model(case: Case, device: str) -> nn.Module:
    """The case's model with random weights, those of quantised layers quantised by bitsandbytes."""
    torch.manual_seed(0)
    model = build(case.config, case.run).model
    place(model, device)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.normal_(std=SPREAD) if parameter.dim() > 1 else parameter.fill_(1)
        for buffer in model.buffers():
            buffer.fill_(1)
        if case.run.quantization is not None:
            _quantize(model)
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    embedding.register_forward_pre_hook(_random_ids)
    return model


def _quantize(model: nn.Module) -> None:
    """Layer by layer, each from random numbers in the format that the layer computes in."""
    theirs: Any = import_module("bitsandbytes.nn")

    for layer in model.modules():
        if isinstance(layer, theirs.Linear4bit):
            packed: Any = layer.weight
            state: Any = layer.quant_state
            values = torch.empty(state.shape, dtype=state.dtype, device=packed.device).normal_(std=SPREAD)
            kind = {"quant_type": packed.quant_type, "compress_statistics": packed.compress_statistics}
            weight: Any = theirs.Params4bit(values, requires_grad=False, module=layer, **kind)
            layer.weight = weight.to(packed.device)


def _random_ids(embedding: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """In place of the zeros: experts shall share the tokens."""
    size: Any = embedding.num_embeddings
    inputs[0].random_(0, size)


def measure(case: Case, device: str, counters: Counters) -> tuple[tuple[Reading, ...], float]:
    """Two steps of the case: readings of each phase, and the seconds that the steps took."""
    model = real_model(case, device)
    counters.begin()
    meter = Meter(device, counters)
    began = time.perf_counter()
    train(model, case.run, find_stack(case.stack), meter)
    meter.end()
    return tuple(meter.readings), time.perf_counter() - began
