"""Embedding, softmax, norms and lists of tensors."""

import torch

from tests.trace.kernels.calls import A100, H100, empty, ops, sizes, taken

LOGITS = 5 * 7


def test_embedding_of_few_tokens() -> None:
    """Up to 3,072 tokens nothing is sorted."""
    tokens = empty(3, 1024, dtype=torch.int64)
    assert taken(ops.embedding_dense_backward.default, empty(3, 1024, 64), tokens, 1000, -1, False) == []


def test_embedding_of_many_tokens() -> None:
    """16,384 tokens of width 4,096 and 128,256 words: 1,638 + 16,384 partial sums in fp32, 281.6 MiB."""
    found = taken(
        ops.embedding_dense_backward.default, empty(16384, 4096), empty(16384, dtype=torch.int64), 128256, -1, False
    )
    tokens, parts = 16384 * 8, 18022 * 8
    assert sizes(found) == [tokens, tokens, tokens, tokens, tokens, parts, 18022 * 4096 * 4]
    assert [one.before for one in found] == [True, True, False, False, False, False, False]
    assert found[-1].bytes == 295_272_448


def test_embedding_of_a_small_vocabulary() -> None:
    """No more parts than words plus one per ten tokens; a frequency count is one more list; int32 tokens are half as large."""
    found = taken(ops.embedding_dense_backward.default, empty(4000, 8), empty(4000, dtype=torch.int32), 100, -1, True)
    assert sizes(found) == [16000, 16000, 16000, 16000, 400, 400, 500 * 4, 500 * 8 * 4]


def test_softmax_backward() -> None:
    """The product of gradient and output, in the gradient's format."""
    gradient = empty(5, 7, dtype=torch.float32)
    assert sizes(taken(ops._softmax_backward_data.default, gradient, gradient, -1, torch.float32)) == [LOGITS * 4]
    half = empty(5, 7)
    assert sizes(taken(ops._softmax_backward_data.default, half, half, -1, torch.bfloat16)) == [LOGITS * 2]


def test_softmax_packs_what_is_not_packed() -> None:
    """Inputs of other strides are copied, packed ones are not."""
    across = empty(7, 5).t()
    assert sizes(taken(ops._softmax.default, across, -1, False)) == [LOGITS * 2]
    assert taken(ops._log_softmax.default, empty(5, 7), -1, False) == []
    gradient = empty(5, 7)
    assert taken(ops._log_softmax_backward_data.default, gradient, gradient, -1, torch.bfloat16) == []


def layer_norm_backward(rows: int, width: int, mask: list[bool]) -> list[int]:
    """What the backward pass of a layer norm takes."""
    inputs, weight = empty(rows, width), empty(width)
    mean = empty(rows, 1, dtype=torch.float32)
    operator = ops.native_layer_norm_backward.default
    return sizes(taken(operator, inputs, inputs, [width], mean, mean, weight, weight, mask))


def test_layer_norm_backward() -> None:
    """
    Partial sums for more than 65,536 rows that are short for the device.

    131,072 rows of 128: min(32,768 / 4, 4,096) = 4,096 parts, for weight and bias each.
    """
    everything = [True, True, True]
    assert layer_norm_backward(65536, 128, everything) == []
    assert layer_norm_backward(131072, 128, everything) == [4096 * 128 * 2] * 2
    assert layer_norm_backward(131072, 128, [True, True, False]) == [4096 * 128 * 2]
    assert layer_norm_backward(131072, 54 * 32, everything) == []


def test_rms_norm_backward() -> None:
    """Only the weight: 1,048,576 rows of 128 (of 8 query heads, say) have at most 32,768 / 4 parts."""
    inputs, weight, rstd = empty(1048576, 128), empty(128), empty(1048576, 1, dtype=torch.float32)
    operator = ops._fused_rms_norm_backward.default
    found = taken(operator, inputs, inputs, [128], rstd, weight, [True, True], target=H100)
    assert sizes(found) == [8192 * 128 * 2]


def test_norms_pack_what_is_not_packed() -> None:
    """A view across strides is copied before the norm."""
    across = empty(2, 16, 8).transpose(1, 2)
    (copy,) = taken(ops.native_layer_norm.default, across, [16], None, None, 1e-5)
    assert (copy.bytes, copy.before) == (2 * 16 * 8 * 2, True)
    rstd, weight = empty(2, 8, 1, dtype=torch.float32), empty(16)
    operator = ops._fused_rms_norm_backward.default
    copies = taken(operator, across, across, [16], rstd, weight, [True, True])
    assert [(one.bytes, one.before) for one in copies] == [(512, True), (512, False)]


def test_foreach_norm() -> None:
    """Three tensors, the largest of 65,537 elements: two chunks each, in fp32."""
    tensors = [empty(10), empty(65537), empty(100)]
    (partial,) = taken(ops._foreach_norm.Scalar, tensors, target=A100)
    assert (partial.bytes, partial.before) == (3 * 2 * 4, True)
    (double,) = taken(ops._foreach_norm.Scalar, [empty(10, dtype=torch.float64)], 2)
    assert double.bytes == 8
