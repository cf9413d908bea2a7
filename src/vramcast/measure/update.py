"""From gradients to new weights: the loss scale, the FP32 master copy, the optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vramcast.domain.run import Precision, TrainRun
from vramcast.measure.model import DTYPES
from vramcast.measure.optimizers import is_inner, real_optimizers

SCALED = (Precision.AMP_FP16, Precision.MASTER_FP16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """
    How the loss of an FP16 step is scaled: halved when a gradient overflows, doubled after `interval` steps without.

    Source: arXiv:1710.03740, section 3.2; the numbers are torch.amp.GradScaler's own.
    """

    start: float = 2.0**16
    interval: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What a step needs beside the run: rate of learning and, for FP16, the loss scale (None: no scaling, to see why)."""

    rate: float = 1e-4
    scaling: Scaling | None = Scaling()


class MasterCopy:
    """
    FP32 masters of a model's weights; the model itself becomes the half-precision working copy made from them.

    Source: arXiv:1710.03740, figure 1.
    """

    def __init__(self, weights: Sequence[nn.Parameter], working: torch.dtype) -> None:
        self._weights = weights
        self.masters = [weight.detach().float().requires_grad_() for weight in weights]
        for weight in weights:
            weight.data = weight.data.to(working)

    def take_gradients(self) -> None:
        """The half-precision gradients, in FP32, where the optimizer finds them."""
        for weight, master in zip(self._weights, self.masters, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()

    @torch.no_grad()
    def refresh(self) -> None:
        """The working copy, anew from the masters; gradients of both are dropped."""
        for weight, master in zip(self._weights, self.masters, strict=True):
            weight.copy_(master)
            master.grad = weight.grad = None


class Update:
    """Turns the gradients of a backward pass into new weights; `model` is in its starting format."""

    def __init__(self, model: nn.Module, run: TrainRun, device: str, learning: Learning) -> None:
        self._trained = [one for one in model.parameters() if one.requires_grad]
        inner = [is_inner(model, one) for one in self._trained]
        has_master = run.precision.has_master and run.adapter is None
        self.master = MasterCopy(self._trained, DTYPES[run.precision.compute]) if has_master else None
        self.updated: list[Any] = self.master.masters if self.master else self._trained
        self.optimizers = real_optimizers(run.optimizer, self.updated, inner, learning.rate)
        scaling = learning.scaling if run.precision in SCALED else None
        self._scaler = scaling and torch.amp.GradScaler(
            device, init_scale=scaling.start, growth_interval=scaling.interval
        )

    @property
    def scale(self) -> float:
        """By what the loss is multiplied now."""
        return self._scaler.get_scale() if self._scaler else 1.0

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss that is differentiated."""
        return self._scaler.scale(loss) if self._scaler else loss

    def step(self) -> None:
        """Update, unless a scaled gradient overflowed; drop the gradients."""
        if self.master:
            self.master.take_gradients()
        for optimizer in self.optimizers:
            self._scaler.step(optimizer) if self._scaler else optimizer.step()
        if self._scaler:
            self._scaler.update()
        if self.master:
            self.master.refresh()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
