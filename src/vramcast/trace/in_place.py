"""
What torch does in place on plain tensors, and out of place as soon as a dispatch mode looks on.

The engine adds two gradients of one tensor into the first one if nobody else holds it; some formulas write into the zeros that
they have just made; `linear` and attention's `math` add to a product that they have just made. Under any dispatch mode torch
takes tensors for subclasses and leaves their storages alone, so that a trace would see storages that a real step never has.
Here the operator in place is found again.

Source: torch/csrc/autograd/input_buffer.cpp (`can_accumulate_inplace`), FunctionsManual.cpp, ATen/TensorSubclassLikeUtils.h,
ATen/native/transformers/attention.cpp (`_scaled_dot_product_attention_math`), ATen/native/Linear.cpp.
"""

import sys
from typing import Any, NamedTuple

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


class Held(NamedTuple):
    """How often a tensor is referred to, by C++, through its storage, and by Python."""

    tensor: int
    storage: int
    python: int


class InPlace:
    """
    Knows which calls of torch's own code would be in place.

    How many references there are to a tensor that only torch holds depends on the modes that are entered: it is measured.
    """

    def __init__(self) -> None:
        self._measures = False
        self._alone: dict[bool, Held] = {}  # by whether autograd runs

    def measure(self, device: str) -> None:
        """Let torch add to tensors that nobody else holds; call it when all modes are entered."""
        x = torch.ones(1, 1, 2, 2, device=device, requires_grad=True)
        self._alone.clear()
        self._measures = True
        y = torch._scaled_dot_product_attention_math(x, x, x, x.detach())[0]
        y = y * 2
        (y.sin() + y.cos()).backward(torch.ones_like(x))
        self._measures = False

    def operator(self, func: Operator, args: Any) -> Operator | None:
        """The operator in place that torch would have called on `args`, None if the caller is not torch itself."""
        backward = not torch.is_grad_enabled() and torch._C._current_autograd_node() is not None
        if func is not _ATEN.add.Tensor:
            return IN_PLACE[func] if backward and _called_by_autograd() else None
        first = args[0]
        if not isinstance(first, Tensor) or first._is_zerotensor() or (backward and not _called_by_autograd()):
            return None
        held = _held(first)
        if self._measures:
            self._alone.setdefault(backward, held)
        dense = torch._prims_common.is_non_overlapping_and_dense_or_false
        return IN_PLACE[func] if held == self._alone.get(backward) and dense(first) else None


def _held(tensor: Tensor) -> Held:
    uses: int = tensor._use_count()  # type: ignore[attr-defined]
    return Held(uses, torch._C._storage_Use_Count(tensor.untyped_storage()._cdata), sys.getrefcount(tensor))


def _called_by_autograd() -> bool:
    """Not by the Python code of a custom function."""
    frame = sys._getframe()
    while frame.f_code is not _ENGINE:
        if frame.f_code is _CUSTOM:
            return False
        if frame.f_back is None:
            return True
        frame = frame.f_back
    return True
