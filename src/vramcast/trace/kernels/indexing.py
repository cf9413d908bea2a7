"""Adding at indices."""

from itertools import zip_longest
from math import prod
from typing import Any

import torch
from torch import Tensor

from vramcast.trace.kernels.call import Call, copied
from vramcast.trace.kernels.cub import radix_sort_bytes
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden

INDEX = 8
MASKS = (torch.bool, torch.uint8)


@entry(
    "index_put accumulate",
    "aten.index_put_.default",
    "aten.index_put.default",
    "aten._index_put_impl_.default",
    "aten._unsafe_index_put.default",
)
def index_put(call: Call) -> tuple[Hidden, ...]:
    """
    Indices are sorted so that equal ones are added in order.

    Formula:    accumulate or deterministic: 4 · n · 8 B + radix sort of n pairs of 8 B, n indices; copies of self and values if not packed
    Source:     torch aten/src/ATen/native/cuda/Indexing.cu, index_put_with_sort_kernel (main, 2025); CCCL cub/device/dispatch (main, 2026)
    Exactness:  modelled
    Ignores:    masks as indices; arithmetic on several index tensors before the sort
    """
    destination, values = call["self"], call["values"]
    indices = [one for one in call["indices"] if one is not None]
    sorts = call["accumulate"] or call.target.deterministic
    if not sorts or not indices or any(one.dtype in MASKS for one in indices):
        return ()
    number, slices = _number(indices), _slices(destination, call["indices"])
    if not number or not destination.numel():
        return ()
    added = number * destination.numel() // slices
    whole = values.numel() == added
    values_copy = copied(values) if whole else added * values.element_size()
    copies = [(copied(destination), "destination, packed"), (values_copy, "values, spread and packed")]
    sort = radix_sort_bytes(number, INDEX, INDEX, call.target, bits=max(1, (slices - 1).bit_length()))
    return (
        *(Hidden(size, label) for size, label in copies if size),
        *([Hidden(number * INDEX, "indices, sorted and not")] * 4),
        Hidden(sort, "radix sort"),
    )


def _number(indices: list[Tensor]) -> int:
    """Elements of the indices, spread to a common shape."""
    from_the_end = zip_longest(*(reversed(one.shape) for one in indices), fillvalue=1)
    return prod(0 if 0 in sizes else max(sizes) for sizes in from_the_end)


def _slices(destination: Tensor, indices: list[Any]) -> int:
    """How many slices the indices choose from."""
    return prod(size for size, index in zip(destination.shape, indices, strict=False) if index is not None)


@entry("index_add deterministic", "aten.index_add_.default", "aten.index_add.default")
def index_add(call: Call) -> tuple[Hidden, ...]:
    """
    Deterministic: rows are added as `index_put` does.

    Formula:    deterministic: 4 · n · 8 B + radix sort of n pairs of 8 B; otherwise nothing
    Source:     torch aten/src/ATen/native/cuda/Indexing.cu, index_add_cuda_impl, index_put_with_sort_kernel (main, 2025)
    Exactness:  modelled
    """
    index, destination = call["index"], call["self"]
    if not call.target.deterministic or not index.numel() or not destination.dim():
        return ()
    bits = max(1, (destination.shape[call["dim"]] - 1).bit_length())
    sort = radix_sort_bytes(index.numel(), INDEX, INDEX, call.target, bits=bits)
    one = Hidden(index.numel() * INDEX, "indices, sorted and not")
    return one, one, one, one, Hidden(sort, "radix sort")


ENTRIES = (index_put, index_add)
