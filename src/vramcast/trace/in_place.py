"""
What autograd does in place on plain tensors, and out of place as soon as a dispatch mode looks on.

The engine adds two gradients of one tensor into the first one if nobody else holds it; some formulas write into the zeros that
they have just made. Under any dispatch mode torch takes tensors for subclasses and leaves their storages alone, so that a trace
would see storages that a real step never has. Here the operator in place is found again.

Source: torch/csrc/autograd/input_buffer.cpp (`can_accumulate_inplace`), FunctionsManual.cpp, ATen/TensorSubclassLikeUtils.h.
"""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd import graph
from torch.autograd.function import BackwardCFunction

Operator = torch._ops.OpOverload
_ATEN = torch.ops.aten
IN_PLACE: dict[Operator, Operator] = {
    _ATEN.add.Tensor: _ATEN.add_.Tensor,
    _ATEN.index_put.default: _ATEN.index_put_.default,
    _ATEN.scatter.src: _ATEN.scatter_.src,
    _ATEN.scatter.value: _ATEN.scatter_.value,
    _ATEN.scatter_add.default: _ATEN.scatter_add_.default,
}
_ENGINE = graph._engine_run_backward.__code__
_CUSTOM = BackwardCFunction.apply.__code__


class InPlace:
    """
    Knows which calls of autograd would be in place.

    How many references a tensor has that only autograd holds depends on the modes that are entered, so it is measured once.
    """

    def __init__(self) -> None:
        self._alone: tuple[int, int] | None = None

    def measure(self, device: str) -> None:
        """Let the engine add two gradients that nobody holds; call it when all modes are entered."""
        self._alone = None
        x = torch.ones(2, device=device, requires_grad=True)
        y = x * 2
        (y.sin() + y.cos()).backward(torch.ones(2, device=device))

    def operator(self, func: Operator, args: Any) -> Operator | None:
        """The operator in place that autograd would have called on `args`, None if the caller is not autograd."""
        if torch.is_grad_enabled() or torch._C._current_autograd_node() is None or not _called_by_autograd():
            return None
        first: Tensor = args[0]
        held = first._use_count(), torch._C._storage_Use_Count(first.untyped_storage()._cdata)
        if self._alone is None:
            self._alone = held
        if held != self._alone or not torch._prims_common.is_non_overlapping_and_dense_or_false(first):
            return None
        return IN_PLACE[func]


def _called_by_autograd() -> bool:
    """Not by the Python code of a custom function."""
    frame = sys._getframe()
    while frame is not None and frame.f_code is not _ENGINE:
        if frame.f_code is _CUSTOM:
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return True
