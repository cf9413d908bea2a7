"""Sort, top-k and sampling."""

from torch import Tensor

from vramcast.trace.kernels.call import Call, bytes_of, is_dense
from vramcast.trace.kernels.cub import radix_sort_bytes, segmented_sort_bytes
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden, Target

IN_PLACE = 4096
HUGE_ROW = 1_000_000
FEW_ROWS = 128
INDEX = 8


def sort_buffers(row: int, rows: int, key: int, target: Target) -> tuple[Hidden, ...]:
    """What a sort of `rows` rows of `row` items takes beside its outputs."""
    items = row * rows
    if rows == 1 or row >= HUGE_ROW:
        sort = radix_sort_bytes(row, key, INDEX, target)
        return Hidden(row * INDEX, "positions"), Hidden(sort, "radix sort")
    if rows < FEW_ROWS:
        return (
            Hidden(items * INDEX, "rows and positions"),
            Hidden(items * INDEX, "rows and positions, sorted"),
            Hidden(items * key, "keys, sorted"),
            Hidden(radix_sort_bytes(items, key, INDEX, target), "radix sort"),
        )
    return Hidden(items * INDEX, "positions"), Hidden(segmented_sort_bytes(items, key, INDEX), "segmented sort")


def _sort(tensor: Tensor, dim: int, target: Target) -> tuple[Hidden, ...]:
    row = tensor.shape[dim] if tensor.dim() else 1
    if not tensor.numel() or row <= IN_PLACE:
        return ()
    rows, size = tensor.numel() // row, bytes_of(tensor)
    packed = tensor.stride()[dim] == 1 and is_dense(tensor)
    copies = (
        ()
        if packed
        else (
            Hidden(size, "keys, packed"),
            Hidden(size, "sorted, packed"),
            Hidden(tensor.numel() * INDEX, "positions, packed"),
        )
    )
    return *copies, *sort_buffers(row, rows, tensor.element_size(), target)


@entry("sort", "aten.sort.default", "aten.sort.stable")
def sort(call: Call) -> tuple[Hidden, ...]:
    """
    Positions, and CUB's storage, for rows of more than 4,096 items n; R rows.

    Formula:    R = 1 or n ≥ 10⁶: n · 8 B + radix sort of n; R < 128: R · n · (16 B + itemsize) + radix sort of R · n;
                else R · n · 8 B + R · n · (8 B + itemsize); a sort across strides: copies of keys, results and positions
    Source:     torch aten/src/ATen/native/cuda/Sort.cpp, SortStable.cu (main, 2026); CCCL cub/device/dispatch (main, 2026)
    Exactness:  modelled
    Ignores:    more than 2³¹ − 1 items, sorted in parts
    """
    return _sort(call["self"], call["dim"], call.target)


@entry("argsort", "aten.argsort.default", "aten.argsort.stable")
def argsort(call: Call) -> tuple[Hidden, ...]:
    """
    A sort whose sorted values are dropped.

    Formula:    elements · itemsize + what the sort takes
    Source:     torch aten/src/ATen/native/Sorting.cpp, argsort (main)
    Exactness:  modelled
    """
    keys = call["self"]
    return Hidden(bytes_of(keys), "sorted values", before=True), *_sort(keys, call["dim"], call.target)


@entry("topk", "aten.topk.default")
def topk(call: Call) -> tuple[Hidden, ...]:
    """
    More than 4,096 results in order are sorted by a second sort.

    Formula:    sorted and k > 4,096: R · k · (16 B + itemsize) + what the sort of R rows of k takes; else nothing
    Source:     torch aten/src/ATen/native/cuda/TensorTopK.cpp (main)
    Exactness:  modelled
    Ignores:    counters of the selection over several blocks, and the second set of positions while they are gathered
    """
    values = call.outputs[0]
    row = values.shape[call["dim"]] if values.dim() else 1
    if not call["sorted"] or row <= IN_PLACE:
        return ()
    return (
        Hidden(values.numel() * INDEX, "sorted positions"),
        Hidden(bytes_of(values), "sorted values"),
        *sort_buffers(row, values.numel() // row, values.element_size(), call.target),
    )


@entry("multinomial", "aten.multinomial.default")
def multinomial(call: Call) -> tuple[Hidden, ...]:
    """
    Exponential noise for each probability, when one is drawn or none is drawn twice.

    Formula:    elements · itemsize, with one sample or without replacement
    Source:     torch aten/src/ATen/native/Distributions.cpp, multinomial_out (main)
    Exactness:  exact
    Ignores:    checks of a few bytes a row; cumulative sums when several are drawn with replacement
    """
    if call["replacement"] and call["num_samples"] != 1:
        return ()
    return (Hidden(bytes_of(call["self"]), "exponential noise"),)


ENTRIES = (sort, argsort, topk, multinomial)
