"""A training loop as people write it in plain torch, its phases told to a meter."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vramcast.domain.forecast import Phase
from vramcast.domain.run import AttentionKernel, TrainRun
from vramcast.measure.measured import Step
from vramcast.measure.meters import Meter
from vramcast.measure.model import DTYPES
from vramcast.measure.update import Learning, Update

BACKENDS = {
    AttentionKernel.FLASH: SDPBackend.FLASH_ATTENTION,
    AttentionKernel.CUDNN: SDPBackend.CUDNN_ATTENTION,
    AttentionKernel.EFFICIENT: SDPBackend.EFFICIENT_ATTENTION,
    AttentionKernel.MATH: SDPBackend.MATH,
}


class Trainer:
    """Trains `model` as `run` says; what a step needs beside is made when it is made."""

    def __init__(self, model: nn.Module, run: TrainRun, meter: Meter, learning: Learning) -> None:
        self._model = model
        self._run = run
        self._meter = meter
        self.update = Update(model, run, meter.device, learning)

    def step(self, number: int, batches: Iterator[Tensor]) -> Step:
        """All micro-batches, then the update. Phases: `step 1 forward`, `step 1 backward`, `step 1 update`."""
        began = time.perf_counter()
        accumulated = self._run.accum_steps
        losses = [
            self._pass(f"step {number}", f" {micro}" if accumulated > 1 else "", batches)
            for micro in range(1, accumulated + 1)
        ]
        self._meter.enter(f"step {number} update", Phase.OPTIMIZER_STEP)
        self.update.step()
        self._meter.wait()
        seconds = time.perf_counter() - began
        return Step(loss=sum(losses) / accumulated, scale=self.update.scale, seconds=seconds)

    def _pass(self, step: str, suffix: str, batches: Iterator[Tensor]) -> float:
        self._meter.enter(f"{step} forward{suffix}", Phase.FORWARD)
        batch = self._on_device(next(batches))
        loss, _held = self._loss(*batch)  # as in most loops, batch and output live until the pass is over
        if self._run.accum_steps > 1:
            loss = loss / self._run.accum_steps
        self._meter.enter(f"{step} backward{suffix}", Phase.BACKWARD)
        self.update.scaled(loss).backward()
        return loss.item() * self._run.accum_steps

    def evaluate(self, ids: Tensor) -> float:
        """The loss of a forward pass without gradients, logits included."""
        self._meter.enter("evaluate", Phase.EVALUATE)
        self._model.eval()
        with torch.no_grad():
            loss, _logits = self._loss(*self._on_device(ids))
        self._model.train()
        return loss.item()

    def _on_device(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens, and the labels that collators make of them."""
        ids = ids.to(self._meter.device)
        return ids, ids.clone()

    def _loss(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        """The loss, and the output that it comes with."""
        with attention_context(self._run.attention), self._autocast():
            outputs = self._model(input_ids=ids, labels=labels)
        return outputs.loss, outputs

    def _autocast(self) -> AbstractContextManager[Any]:
        if not (self._run.precision.is_amp or self._run.autocast):
            return nullcontext()
        return torch.autocast(self._meter.device, dtype=DTYPES[self._run.precision.compute])


def attention_context(kernel: AttentionKernel) -> AbstractContextManager[Any]:
    """SDPA held to one kernel, if one is asked for."""
    return sdpa_kernel(BACKENDS[kernel]) if kernel in BACKENDS else nullcontext()
