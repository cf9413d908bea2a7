"""Numbers that a program asks for and that nobody has: a plausible one is given, and it is said so."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.utils._python_dispatch import TorchDispatchMode

from vramcast.domain.errors import UnsupportedError
from vramcast.trace.notes import Notes

Operator = torch._ops.OpOverload
_aten = torch.ops.aten
ONE, NO = 1, False
_EVERYTHING: dict[Operator, Callable[..., Any]] = {
    _aten.index.Tensor: lambda x, indices: _aten.index.Tensor(x, _spread(indices)),
    _aten.nonzero.default: lambda x: x.new_empty((x.numel(), x.dim()), dtype=torch.long),
    _aten.masked_select.default: lambda x, mask: x.new_empty(torch.broadcast_shapes(x.shape, mask.shape).numel()),
    _aten._unique2.default: lambda x, *_, **__: (
        x.new_empty(x.numel()),
        x.new_empty(x.shape, dtype=torch.long),
        x.new_empty(x.numel(), dtype=torch.long),
    ),
}


class Assumed(TorchDispatchMode):
    """
    Goes on where a value is not known; enter it last, so that it sees every operator first.

    A number is taken as 1, a flag as false, and of a selection every element is taken, which is the most there can be.
    Within an operator nothing of what was renamed for the program is seen: devices have their true names.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            try:
                return func(*args, **kwargs)
            except UnsupportedError as error:
                if isinstance(error.__cause__, DataDependentOutputException):
                    return self._value(func, args)
                if isinstance(error.__cause__, DynamicOutputShapeException) and func in _EVERYTHING:
                    return self._selection(func, args, kwargs)
                raise

    def _value(self, func: Operator, args: Any) -> Any:
        if func is not _aten._local_scalar_dense.default:
            self._notes.assumed(f"{func}", NO)
            return NO
        dtype = args[0].dtype
        value: Any = NO if dtype is torch.bool else ONE if not dtype.is_floating_point else float(ONE)
        self._notes.assumed("a number read from the device was", value)
        return value

    def _selection(self, func: Operator, args: Any, kwargs: Any) -> Any:
        self._notes.assumed(f"a selection by values ({func._schema.name.partition('::')[2]}) was", "everything")
        return _EVERYTHING[func](*args, **kwargs)


def _spread(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """In place of a mask of unknown values, the indices of as many elements, one tensor a dimension."""
    spread: list[Tensor | None] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            spread.append(index)
        else:
            spread += [index.new_empty(index.numel(), dtype=torch.long)] * index.dim()
    return spread
