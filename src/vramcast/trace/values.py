"""
Small whole numbers and flags that a program counts with: lengths, positions, masks, stop signs.

A tensor under `FakeTensorMode` has no values, and code that asks one for a number fails. What is made from constants alone
(`ones`, `arange`, a Python list, and what integer arithmetic makes of those) can be followed exactly: the operator runs a
second time, on real tensors of the CPU that stand behind the fake ones. So `mask.all()`, `length >= max_length` and
`position_ids.diff()` answer as they would on the device. Random whole numbers are as good as any. What comes from weights
stays unknown.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Operator = torch._ops.OpOverload
LARGEST = 1 << 20  # elements that are followed
WHOLE = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})
_READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
_IS_IN = torch.ops.aten.isin.Tensor_Tensor
_WITHOUT_VALUES = ("aten::empty", "aten::new_empty", "aten::set_", "aten::resize_")
_BEHIND = "_value_behind"


class _Kind(NamedTuple):
    """What is known of an operator from its schema."""

    written: tuple[int | str, ...]  # arguments it writes to
    has_values: bool  # its result follows from its arguments


class Values(TorchDispatchMode):
    """Follows values while it is entered; enter it last, so that it sees every operator first."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[Operator, _Kind] = {}
        self._spoiled: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _READS and all(self.of(tensor) is not None for tensor in args):
            return self._again(func, args, kwargs)
        result = func(*args, **kwargs)
        kind = self._kinds.get(func) or self._kind(func)
        if kind.written or (kind.has_values and _all_whole(result)):
            self._follow(func, kind, args, kwargs, result)
        return result

    def of(self, tensor: Tensor) -> Tensor | None:
        """The values of `tensor`, if they are known."""
        if not isinstance(tensor, FakeTensor):
            return tensor if tensor.device.type == "cpu" and _all_whole(tensor) else None
        known: Tensor | None = getattr(tensor, _BEHIND, None)
        return None if known is None or known.untyped_storage()._cdata in self._spoiled else known

    def _kind(self, func: Operator) -> _Kind:
        arguments = enumerate(func._schema.arguments)
        written = tuple(
            argument.name if argument.kwarg_only else place
            for place, argument in arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        kind = _Kind(written, not func._schema.name.startswith(_WITHOUT_VALUES))
        self._kinds[func] = kind
        return kind

    def _follow(self, func: Operator, kind: _Kind, args: Any, kwargs: Any, result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if all(self.of(tensor) is not None for tensor in tensors) and kind.has_values:
            behind: Any = self._again(func, args, kwargs)
        elif func is _IS_IN:  # a token that nobody knows is none of the special ones
            behind = self._outside(args[0])
        else:
            self._spoil(kind, args, kwargs)
            return
        for tensor, known in zip(_tensors(result), _tensors(behind), strict=True):
            setattr(tensor, _BEHIND, known)

    def _again(self, func: Operator, args: Any, kwargs: Any) -> Any:
        with torch._C._DisableTorchDispatch():
            return func(*tree_map(self._real, args), **tree_map(self._real, kwargs))

    def _outside(self, tokens: Tensor) -> Tensor:
        with torch._C._DisableTorchDispatch():
            return torch.zeros(tokens.shape, dtype=torch.bool, device="cpu")

    def _real(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            known = self.of(leaf)
            return leaf.clone() if known is leaf else known
        return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

    def _spoil(self, kind: _Kind, args: Any, kwargs: Any) -> None:
        for place in kind.written:
            target = kwargs.get(place) if isinstance(place, str) else (args[place] if place < len(args) else None)
            for tensor in _tensors(target):
                known = self.of(tensor)
                if known is not None:
                    storage = known.untyped_storage()
                    self._spoiled[storage._cdata] = storage


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, tuple | list):
        for one in result:
            yield from _tensors(one)


def _all_whole(result: Any) -> bool:
    """Only small tensors of whole numbers."""
    if isinstance(result, Tensor):
        return result.dtype in WHOLE and result.numel() <= LARGEST
    return isinstance(result, tuple | list) and bool(result) and all(map(_all_whole, result))
