"""One call of an operator, read by the names of its schema."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vramcast.trace.kernels.target import Target


class Signature(NamedTuple):
    """An operator's name, where each of its arguments stands, and what it is if it is left out."""

    name: str
    places: dict[str, int]
    defaults: dict[str, Any]

    @classmethod
    def of(cls, operator: torch._ops.OpOverload) -> "Signature":
        """The signature of this operator."""
        arguments = operator._schema.arguments
        positional = [one.name for one in arguments if not one.kwarg_only]
        defaults = {one.name: one.default_value for one in arguments}
        return cls(str(operator), {name: place for place, name in enumerate(positional)}, defaults)


class Call:
    """Arguments by name, what was returned, and where it will run."""

    __slots__ = ("_args", "_kwargs", "_signature", "outputs", "target")

    def __init__(
        self, signature: Signature, args: Sequence[Any], kwargs: dict[str, Any], outputs: Any, target: Target
    ) -> None:
        self._signature, self._args, self._kwargs = signature, args, kwargs
        self.outputs, self.target = outputs, target

    def __getitem__(self, name: str) -> Any:
        place = self._signature.places.get(name, -1)
        if 0 <= place < len(self._args):
            return self._args[place]
        return self._kwargs[name] if name in self._kwargs else self._signature.defaults[name]

    def __contains__(self, name: str) -> bool:
        return name in self._signature.defaults

    @property
    def operator(self) -> str:
        """Name of the operator, such as `aten.mm.default`."""
        return self._signature.name


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor of this size and format, packed."""
    return tensor.numel() * tensor.element_size()


def is_contiguous(tensor: Tensor, order: tuple[int, ...] = ()) -> bool:
    """Rows follow rows without gaps, once the dimensions stand in `order`. No operator is called to find out."""
    sizes, strides = tensor.shape, tensor.stride()
    packed = 1
    for dimension in reversed(order or range(len(sizes))):
        size = sizes[dimension]
        if size != 1 and strides[dimension] != packed:
            return tensor.numel() == 0
        packed *= size
    return True


def is_dense(tensor: Tensor) -> bool:
    """No gaps and no overlaps, in some order of the dimensions."""
    sizes, strides = tensor.shape, tensor.stride()
    wide = [dimension for dimension, size in enumerate(sizes) if size != 1]
    return not wide or is_contiguous(tensor, tuple(sorted(wide, key=lambda dimension: -strides[dimension])))


def copied(tensor: Tensor, order: tuple[int, ...] = ()) -> int:
    """Bytes of the copy that `contiguous()` makes of the tensor in this order of dimensions, 0 if it makes none."""
    return 0 if is_contiguous(tensor, order) else bytes_of(tensor)


def ceil_div(number: int, by: int) -> int:
    """`number` / `by`, rounded up."""
    return -(-number // by)


def round_up(number: int, to: int) -> int:
    """`number` up to the next multiple of `to`."""
    return -(-number // to) * to
