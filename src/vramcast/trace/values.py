"""
Small whole numbers and flags that a program counts with: lengths, positions, masks, stop signs.

A tensor under `FakeTensorMode` has no values, and code that asks one for a number fails. What is made from constants alone
(`ones`, `arange`, a Python list, and what integer arithmetic makes of those) can be followed exactly: the operator runs a
second time, on real tensors of the CPU that stand behind the fake ones. So `mask.all()`, `length >= max_length` and
`position_ids.diff()` answer as they would on the device. Random whole numbers are as good as any. What comes from weights
stays unknown, but for two choices that every run makes somehow: a router is taken to choose its experts evenly, one after
the other, and a generated token to be none of the special ones.
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
_TOP = torch.ops.aten.topk.default
_NONZERO = torch.ops.aten.nonzero.default
_INDEX = torch.ops.aten.index.Tensor
# Masks are often made of floating-point ones, and experts counted in floating-point zeros: these operators hand them on.
_HAND_ON = frozenset(
    f"aten::{name}"
    for name in [
        "ones",
        "zeros",
        "slice",
        "cat",
        "expand",
        "unsqueeze",
        "select",
        "view",
        "_to_copy",
        "clone",
        "scatter",
        "mul",
    ]
)
_WITHOUT_VALUES = ("aten::empty", "aten::new_empty", "aten::set_", "aten::resize_")
_BEHIND = "_value_behind"
_SPOILED = "_is_spoiled"


class _Kind(NamedTuple):
    """What is known of an operator from its schema."""

    written: tuple[int | str, ...]  # arguments it writes to
    has_values: bool  # its result follows from its arguments
    hands_on: bool  # it keeps floating-point constants too


class Values(TorchDispatchMode):
    """Follows values while it is entered; enter it last, so that it sees every operator first."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[Operator, _Kind] = {}

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _READS and all(self.of(tensor) is not None for tensor in args):
            return self._again(func, args, kwargs)
        if func is _NONZERO and self.of(args[0]) is not None:
            return self._selected(args[0])
        if func is _INDEX:
            args = (args[0], self._places(args[1]))
        result = func(*args, **kwargs)
        kind = self._kinds.get(func) or self._kind(func)
        if kind.written or (kind.has_values and (_all_whole(result) or (kind.hands_on and _is_small(result)))):
            self._follow(func, kind, args, kwargs, result)
        elif func is _TOP and result[1].numel() <= LARGEST and self.of(args[0]) is None:
            self.know(result[1], self._in_turn(result[1], args))
        return result

    def of(self, tensor: Tensor) -> Tensor | None:
        """The values of `tensor`, if they are known."""
        if not isinstance(tensor, FakeTensor):
            return tensor if tensor.device.type == "cpu" and (_all_whole(tensor) or not tensor.dim()) else None
        known: Tensor | None = getattr(tensor, _BEHIND, None)
        return None if known is None or getattr(known.untyped_storage(), _SPOILED, False) else known

    def know(self, tensor: Tensor, known: Tensor) -> None:
        """The values of `tensor` are those of `known`, a real tensor of the CPU."""
        setattr(tensor, _BEHIND, known)

    def _kind(self, func: Operator) -> _Kind:
        arguments = enumerate(func._schema.arguments)
        written = tuple(
            argument.name if argument.kwarg_only else place
            for place, argument in arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        name = func._schema.name
        kind = _Kind(written, not name.startswith(_WITHOUT_VALUES), name in _HAND_ON)
        self._kinds[func] = kind
        return kind

    def _follow(self, func: Operator, kind: _Kind, args: Any, kwargs: Any, result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if all(self.of(tensor) is not None for tensor in tensors) and kind.has_values:
            behind: Any = self._again(func, args, kwargs)
        else:
            behind = self._outside(args[0]) if func is _IS_IN else None
        if behind is None:
            self._spoil(kind, args, kwargs)
            return
        for tensor, known in zip(_tensors(result), _tensors(behind), strict=True):
            setattr(tensor, _BEHIND, known)

    def _again(self, func: Operator, args: Any, kwargs: Any) -> Any:
        """What the operator gives on real tensors; None if the CPU has no kernel for it."""
        with torch._C._DisableTorchDispatch():
            try:
                return func(*tree_map(self._real, args), **tree_map(self._real, kwargs))
            except NotImplementedError:
                return None

    def _outside(self, tokens: Tensor) -> Tensor:
        with torch._C._DisableTorchDispatch():
            return torch.zeros(tokens.shape, dtype=torch.bool, device="cpu")

    def _in_turn(self, chosen: Tensor, args: Any) -> Tensor:
        """Row after row takes the next k of all, round and round."""
        scores, k, dim = args[0], args[1], args[2] if len(args) > 2 else -1
        with torch._C._DisableTorchDispatch():
            shape = list(chosen.shape)
            shape.append(shape.pop(dim))
            rows = torch.arange(chosen.numel(), device="cpu").view(shape) % max(scores.shape[dim], k, 1)
            turned: Tensor = rows.movedim(-1, dim)
            return turned

    def _selected(self, flags: Tensor) -> Tensor:
        """Where known flags are set: as many rows as there are."""
        known = self._again(_NONZERO, (flags,), {})
        places = torch.empty_strided(known.shape, known.stride(), dtype=known.dtype, device=flags.device)
        self.know(places, known)
        return places

    def _places(self, indices: list[Tensor | None]) -> list[Tensor | None]:
        """Known flags among `indices` as the places where they are set, which is what the operator makes of them."""
        places: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype is torch.bool and self.of(index) is not None:
                with self:
                    places.extend(index.nonzero().unbind(1))
            else:
                places.append(index)
        return places

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
                    setattr(known.untyped_storage(), _SPOILED, True)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, tuple | list):
        for one in result:
            yield from _tensors(one)


def _is_small(result: Any) -> bool:
    return isinstance(result, Tensor) and result.numel() <= LARGEST


def _all_whole(result: Any) -> bool:
    """Only small tensors of whole numbers."""
    if isinstance(result, Tensor):
        return result.dtype in WHOLE and result.numel() <= LARGEST
    return isinstance(result, tuple | list) and bool(result) and all(map(_all_whole, result))
