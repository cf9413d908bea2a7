"""Workspaces of matrix products."""

import pytest
import torch

from tests.trace.kernels.calls import A100, H100, H100_NEW, empty, ops, sizes, taken
from vramcast.domain.forecast import Category
from vramcast.trace.kernels import Hidden, Target

SMALL, LARGE, LT = 8_519_680, 33_554_432, 1_048_576
A100_NEW = Target((8, 0), 108, (2, 15), kept_workspace=False)


@pytest.mark.parametrize(
    ("capability", "torch_version", "expected"),
    [
        ((7, 5), (2, 13), SMALL),
        ((8, 9), (2, 15), SMALL),
        ((9, 0), (2, 6), LARGE),
        ((10, 0), (2, 6), SMALL),
        ((10, 0), (2, 12), LARGE),
        ((11, 0), (2, 13), SMALL),
        ((11, 0), (2, 14), LARGE),
        ((12, 0), (2, 13), LARGE),
    ],
)
def test_workspace_by_device_and_version(
    capability: tuple[int, int], torch_version: tuple[int, int], expected: int
) -> None:
    """8.125 MiB below Hopper, 32 MiB from there on, Blackwell from the version that learned it."""
    target = Target(capability, None, torch_version, kept_workspace=True)
    assert sizes(taken(ops.mm.default, empty(8, 16), empty(16, 8), target=target)) == [expected]


def test_kept_workspace() -> None:
    """Up to torch 2.14 every product uses the one workspace of its handle, with a bias too."""
    kept = Hidden(LARGE, "cuBLAS workspace", category=Category.WORKSPACE, kept="cuBLAS")
    assert list(taken(ops.mm.default, empty(8, 16), empty(16, 8), target=H100)) == [kept]
    assert list(taken(ops.addmm.default, empty(8), empty(4, 16), empty(16, 8), target=H100)) == [kept]
    assert list(taken(ops.bmm.default, empty(2, 4, 16), empty(2, 16, 8), target=H100)) == [kept]


def test_workspace_per_call() -> None:
    """From torch 2.15 each call has its own: 1 MiB where cuBLASLt adds a bias."""
    (product,) = taken(ops.mm.default, empty(8, 16), empty(16, 8), target=H100_NEW)
    assert (product.bytes, product.kept, product.category) == (LARGE, "", Category.WORKSPACE)
    with_bias = taken(ops.addmm.default, empty(8), empty(4, 16), empty(16, 8), target=H100_NEW)
    assert sizes(with_bias) == [LT]
    assert sizes(taken(ops.addmm.default, empty(8), empty(4, 16), empty(16, 8), target=A100_NEW)) == [LT]


def test_not_every_addmm_is_a_linear_layer() -> None:
    """A matrix that is added, a bias that is scaled, and a single row go to cuBLAS; an activation to cuBLASLt."""
    matrices = empty(4, 16), empty(16, 8)
    assert sizes(taken(ops.addmm.default, empty(4, 8), *matrices, target=H100_NEW)) == [LARGE]
    assert sizes(taken(ops.addmm.default, empty(8), *matrices, beta=2, target=H100_NEW)) == [LARGE]
    assert sizes(taken(ops.addmm.default, empty(8), empty(1, 16), empty(16, 8), target=H100_NEW)) == [LARGE]
    assert sizes(taken(ops.addmm.default, empty(1, 8), *matrices, target=H100_NEW)) == [LT]
    assert sizes(taken(ops._addmm_activation.default, empty(4, 8), *matrices, target=H100_NEW)) == [LT]


def test_linear_layer_in_inference_mode() -> None:
    """`linear` seen whole: with a bias cuBLASLt, without one cuBLAS."""
    inputs, weight, bias = empty(2, 3, 16), empty(8, 16), empty(8)
    assert sizes(taken(ops.linear.default, inputs, weight, bias, target=H100_NEW)) == [LT]
    assert sizes(taken(ops.linear.default, inputs, weight, target=H100_NEW)) == [LARGE]
    assert sizes(taken(ops.linear.default, empty(1, 1, 16), weight, bias, target=H100_NEW)) == [LARGE]


def test_nothing_for_nothing_and_for_whole_numbers() -> None:
    """No library is called for empty products, nor for integers."""
    assert taken(ops.mm.default, empty(0, 16), empty(16, 8)) == []
    assert taken(ops.mm.default, empty(4, 0), empty(0, 8)) == []
    assert taken(ops.mm.default, empty(4, 4, dtype=torch.int64), empty(4, 4, dtype=torch.int64)) == []


def test_eight_bit_products() -> None:
    """`_int_mm` and `_scaled_mm` run on cuBLASLt."""
    integers = empty(32, 32, dtype=torch.int8)
    assert sizes(taken(ops._int_mm.default, integers, integers, target=H100_NEW)) == [LT]
    left, right = empty(32, 32, dtype=torch.float8_e4m3fn), empty(32, 32, dtype=torch.float8_e4m3fn).t()
    scale = empty(dtype=torch.float32)
    found = taken(ops._scaled_mm.default, left, right, scale, scale, out_dtype=torch.bfloat16, target=H100_NEW)
    assert sizes(found) == [LT]


def test_operands_that_cublas_cannot_read() -> None:
    """A matrix with both strides above one is copied; transposed, sliced by rows or spread over the batch it is not."""
    square = empty(64, 64)
    assert sizes(taken(ops.mm.default, square.t(), square[:, :64])) == [SMALL]
    assert sizes(taken(ops.mm.default, square[::2, ::2], empty(32, 16))) == [SMALL, 32 * 32 * 2]
    batch = empty(1, 8, 8).expand(4, 8, 8)
    assert sizes(taken(ops.bmm.default, batch, empty(4, 8, 8).transpose(1, 2))) == [SMALL]
    heads = empty(2, 8, 4, 16).transpose(1, 2)[0].transpose(0, 1).expand(8, 4, 16)
    assert sizes(taken(ops.bmm.default, heads, empty(8, 16, 4))) == [SMALL]
    assert sizes(taken(ops.bmm.default, empty(4, 1, 1).expand(4, 8, 8), empty(4, 8, 8))) == [SMALL, 4 * 64 * 2]


def test_grouped_products() -> None:
    """One kernel on Hopper: lists of 5 groups, 24 · 6 + 36 · 5 bytes; elsewhere cuBLAS group by group."""
    tokens, experts, ends = empty(64, 32), empty(5, 32, 16), empty(5, dtype=torch.int32)
    assert sizes(taken(ops._grouped_mm.default, tokens, experts, ends, target=H100)) == [324]
    assert sizes(taken(ops._grouped_mm.default, tokens, experts, ends, target=A100)) == [SMALL]
