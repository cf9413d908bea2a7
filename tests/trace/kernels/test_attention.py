"""Accumulators of attention."""

import pytest
import torch
from torch import Tensor

from tests.trace.kernels.calls import A100, H100, RTX_4090, empty, ops, sizes, taken
from vramcast.trace.kernels import Hidden, Target
from vramcast.trace.kernels.flash import key_splits

FLASH = ops._scaled_dot_product_flash_attention.default
FLASH_BACKWARD = ops._scaled_dot_product_flash_attention_backward.default
EFFICIENT = ops._scaled_dot_product_efficient_attention.default
EFFICIENT_BACKWARD = ops._scaled_dot_product_efficient_attention_backward.default


def heads(batch: int, number: int, tokens: int, width: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Heads as a linear layer makes them: tokens before heads in memory."""
    return empty(batch, tokens, number, width, dtype=dtype).transpose(1, 2)


def flash_backward(query: Tensor, key: Tensor, gradient: Tensor, target: Target = A100) -> list[Hidden]:
    """What the backward pass of flash attention takes."""
    out, lse, *_ = FLASH(query, key, key)
    tokens, seed = query.shape[2], empty(dtype=torch.uint64)
    args = (gradient, query, key, key, out, lse, None, None, tokens, key.shape[2], 0.0, True, seed, seed)
    return list(taken(FLASH_BACKWARD, *args, target=target))


def test_flash_forward_of_a_full_device() -> None:
    """Enough blocks for the device: nothing is split."""
    query = heads(2, 32, 1024, 128)
    assert taken(FLASH, query, query, query) == []


def test_flash_forward_of_one_token() -> None:
    """
    One query token, 32 heads in 8 groups, 8,192 keys of width 128 on 108 multiprocessors.

    The 4 heads of a group become its tokens: 8 blocks for 216 places, 64 blocks of keys. 22 splits fill 176 of 216, 32 fill
    256 of 432, 64 fill 512 of 648 places; 85 % of the fullest (22) is met by 22 alone.
    """
    query, key = heads(1, 32, 1, 128), heads(1, 8, 8192, 128)
    assert key_splits(8, 108, 64) == 22
    rows = 22 * 1 * 8 * 4
    assert sizes(taken(FLASH, query, key, key)) == [rows * 4, rows * 128 * 4]


def test_flash_forward_with_dropout_is_not_split() -> None:
    """Split keys and dropout exclude each other."""
    query, key = heads(1, 8, 1, 128), heads(1, 8, 8192, 128)
    assert taken(FLASH, query, key, key, 0.1) == []


def test_flash_forward_of_a_packed_call() -> None:
    """The lower operator has tokens before heads; with a window the heads of a group stay in place."""
    operator = ops._flash_attention_forward.default
    query, key = empty(1, 1, 32, 128), empty(1, 8192, 8, 128)
    rows = 22 * 8 * 4
    assert sizes(taken(operator, query, key, key, None, None, 1, 8192, 0.0, False, False)) == [rows * 4, rows * 512]
    found = taken(operator, query, key, key, None, None, 1, 8192, 0.0, False, False, window_size_left=64)
    rows = key_splits(32, 108, 64) * 32
    assert sizes(found) == [rows * 4, rows * 512]


def test_flash_backward() -> None:
    """Row sums and fp32 gradient for 128 rows of 100 tokens, width 80 as 96."""
    query = heads(2, 4, 100, 80)
    rows = 2 * 128
    assert sizes(flash_backward(query, query, query)) == [rows * 4 * 4, rows * 4 * 96 * 4]


@pytest.mark.parametrize(("width", "padded"), [(64, 64), (72, 96), (128, 128), (160, 192), (256, 256)])
def test_flash_backward_width(width: int, padded: int) -> None:
    """Up to 128 the width is rounded to 32, above to 64."""
    query = heads(1, 2, 128, width)
    assert sizes(flash_backward(query, query, query)) == [128 * 2 * 4, 128 * 2 * padded * 4]


def test_flash_backward_of_groups() -> None:
    """Fewer key heads than query heads: gradients of keys and values for each query head."""
    query, key = heads(1, 32, 256, 128), heads(1, 8, 256, 128)
    expanded = 256 * 32 * 128 * 2
    assert sizes(flash_backward(query, key, query)) == [256 * 32 * 4, 256 * 32 * 128 * 4, expanded, expanded]


def test_flash_backward_copies_before_outputs() -> None:
    """A gradient with heads before tokens in memory is packed first."""
    query = heads(1, 4, 128, 64)
    first = flash_backward(query, query, empty(1, 4, 128, 64))[0]
    assert (first.bytes, first.before) == (4 * 128 * 64 * 2, True)


def test_flash_backward_deterministic() -> None:
    """ceil(108 / (1 · 8)) = 14 gradients of the queries."""
    query = heads(1, 8, 128, 64)
    target = Target((8, 0), 108, (2, 13), kept_workspace=True, deterministic=True)
    assert sizes(flash_backward(query, query, query, target)) == [128 * 8 * 4, 14 * 128 * 8 * 64 * 4]


def test_flash_backward_of_packed_sequences() -> None:
    """Three sequences of 300 tokens in all: 300 + 3 · 128 rows."""
    query, key = empty(300, 8, 64), empty(300, 2, 64)
    ends, lse, seed = empty(4, dtype=torch.int32), empty(8, 300, dtype=torch.float32), empty(2, dtype=torch.uint64)
    args = (query, query, key, key, query, lse, ends, ends, 128, 128, 0.0, True, seed, seed)
    rows, expanded = 684 * 8, 300 * 8 * 64 * 2
    found = taken(ops._flash_attention_backward.default, *args)
    assert sizes(found) == [rows * 4, rows * 64 * 4, expanded, expanded]


def test_cudnn_backward() -> None:
    """One workspace: fp32 gradient and row sums; per query head 2 · 64 wide gradients of keys and values in bf16."""
    query, key = heads(2, 8, 96, 64), heads(2, 2, 96, 64)
    lse, seed = empty(2, 8, 96, 1, dtype=torch.float32), empty(dtype=torch.int64)
    operator = ops._scaled_dot_product_cudnn_attention_backward.default
    rest = (lse, seed, seed, None, None, None, 96, 96, 0.0, True)
    own = 2 * 8 * 96 * (64 + 1) * 4
    assert sizes(taken(operator, query, query, query, query, query, *rest, target=H100)) == [own]
    grouped = taken(operator, query, query, key, key, query, *rest, target=H100)
    assert sizes(grouped) == [own + 2 * 8 * 96 * 128 * 2]


def test_cudnn_backward_with_a_gradient_spread_over_the_width() -> None:
    """A gradient whose last stride is not one is packed."""
    query = heads(1, 2, 32, 64)
    spread = empty(1, 2, 32, 1).expand(1, 2, 32, 64)
    lse, seed = empty(1, 2, 32, 1, dtype=torch.float32), empty(dtype=torch.int64)
    rest = (lse, seed, seed, None, None, None, 32, 32, 0.0, True)
    operator = ops._scaled_dot_product_cudnn_attention_backward.default
    assert sizes(taken(operator, spread, query, query, query, query, *rest))[0] == 2 * 32 * 64 * 2


def test_efficient_forward() -> None:
    """Heads above 128 in bf16 have an fp32 output beside the bf16 one; fp32 needs none."""
    assert taken(EFFICIENT, heads(1, 4, 64, 128), heads(1, 4, 64, 128), heads(1, 4, 64, 128), None, True) == []
    wide = heads(1, 4, 64, 192)
    assert sizes(taken(EFFICIENT, wide, wide, heads(1, 4, 64, 256), None, True)) == [4 * 64 * 256 * 4]
    single = heads(1, 4, 64, 256, torch.float32)
    assert taken(EFFICIENT, single, single, single, None, True) == []


def efficient_backward(query: Tensor, target: Target, gradient: Tensor | None = None) -> list[int]:
    """What the backward pass of memory-efficient attention takes."""
    out, lse, seed, offset = EFFICIENT(query, query, query, None, True)
    args = (gradient if gradient is not None else query, query, query, query, None, out, lse, seed, offset, 0.0)
    return sizes(taken(EFFICIENT_BACKWARD, *args, [True, True, True, False], True, target=target))


def test_efficient_backward_in_registers() -> None:
    """Width 64 in bf16: tiles of 64 × 64, two blocks of rows, one of columns."""
    found = efficient_backward(heads(2, 3, 100, 64), A100)
    assert found == [2 * 3 * 100 * 4, 2 * 3 * 2 * (16 + 64 * 64 * 4)]


def test_efficient_backward_of_wide_heads() -> None:
    """Width 128 on an A100: tiles of 128 × 128; on an RTX 4090 64 × 64 and fp32 gradients of keys and values."""
    query = heads(1, 8, 256, 128)
    assert efficient_backward(query, A100) == [8 * 256 * 4, 8 * 2 * (16 + 128 * 128 * 4)]
    tiles, splits = 4 * 2 * (16 + 64 * 64 * 4), 4
    assert efficient_backward(query, RTX_4090) == [8 * 256 * 4, 8 * (tiles + splits * 64 * 256 * 4)]


def test_efficient_backward_splits_fewer_keys_with_more_heads() -> None:
    """floor(200 / 64) = 3 parts of the 16 blocks of keys; deterministic: one."""
    query = heads(2, 32, 1024, 128)
    rest = 16 * 2 * (16 + 64 * 64 * 4)
    assert efficient_backward(query, RTX_4090)[1] == 64 * (rest + 3 * 64 * 256 * 4)
    same = Target((8, 9), 128, (2, 13), kept_workspace=True, deterministic=True)
    assert efficient_backward(query, same)[1] == 64 * (rest + 64 * 256 * 4)


def test_efficient_backward_in_fp32() -> None:
    """fp32 gradients of keys and values are their own accumulators; a gradient with heads first is packed."""
    query = heads(1, 2, 64, 64, torch.float32)
    gradient = empty(1, 2, 64, 64, dtype=torch.float32)
    packed = 2 * 64 * 64 * 4
    assert efficient_backward(query, A100, gradient) == [packed, 2 * 64 * 4, 2 * (16 + 64 * 64 * 4)]
