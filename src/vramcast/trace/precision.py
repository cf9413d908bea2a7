"""Masters of half-precision weights, and the scaling of FP16 gradients."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Masters:
    """
    Copies that the optimizer updates in the place of the weights: in FP32, or on the host.

    Each master's gradient is a copy of its weight's, made for the step and dropped with it.

    Source: arXiv:1710.03740 figure 1; `offload`: DeepSpeed's and torchao's optimizers on the CPU.
    """

    def __init__(self, weights: Sequence[nn.Parameter], *, dtype: torch.dtype | None = None, device: str) -> None:
        self._weights = weights
        self.masters = [_copy(weight, dtype, device).requires_grad_() for weight in weights]

    def take_gradients(self) -> None:
        """Give each master its weight's gradient, in the master's type and place."""
        for weight, master in zip(self._weights, self.masters, strict=True):
            if weight.grad is not None:
                master.grad = _copy(weight.grad, master.dtype, master.device)

    @torch.no_grad()
    def give_weights(self) -> None:
        """Copy the masters back."""
        for weight, master in zip(self._weights, self.masters, strict=True):
            weight.copy_(master)


def _copy(tensor: Tensor, dtype: torch.dtype | None, device: Any) -> Tensor:
    return tensor.detach().to(device=device, dtype=dtype or tensor.dtype, copy=True)


class Scaler(torch.amp.GradScaler):
    """torch's own, which here takes every gradient for finite: a traced one has no values."""

    def _maybe_opt_step(self, optimizer: torch.optim.Optimizer, optimizer_state: Any, *_: Any, **__: Any) -> None:
        optimizer.step()
