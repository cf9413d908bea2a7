"""bitsandbytes."""

import bitsandbytes  # noqa: F401 - registers its operators
import pytest
import torch

from tests.trace.kernels.calls import A100, H100, H100_NEW, RTX_4090, empty, sizes, taken
from vramcast.trace.kernels import Hidden, Target, hidden

bnb = torch.ops.bitsandbytes
COLUMNS, DEPTH = 11008, 4096
BLACKWELL = Target((10, 0), 148, (2, 13), kept_workspace=True)


def gemm(rows: int, target: Target, *, nested: bool = False, dtype: torch.dtype = torch.bfloat16) -> list[Hidden]:
    """What a 4-bit layer takes for `rows` tokens."""
    scales = COLUMNS * DEPTH // 64
    weight = empty(COLUMNS * DEPTH // 2, 1, dtype=torch.uint8)
    absmax = empty(scales // 256 if nested else scales, dtype=torch.float32)
    double: dict[str, torch.Tensor] = {}
    if nested:
        code, offset = empty(256, dtype=torch.float32), empty(dtype=torch.float32)
        double = {"absmax_8bit": empty(scales, dtype=torch.uint8), "absmax_code": code, "absmax_offset": offset}
    args = (empty(1, rows, DEPTH, dtype=dtype), weight, [COLUMNS, DEPTH], absmax, 64, "nf4")
    return list(taken(bnb.gemm_4bit.default, *args, target=target, **double))


def test_training_dequantises_the_weight() -> None:
    """2,048 tokens: the weight in bf16 before the output, and the GEMM workspace."""
    weight, workspace = gemm(2048, A100)
    assert (weight.bytes, weight.before) == (COLUMNS * DEPTH * 2, True)
    assert workspace.bytes == 8_519_680


def test_double_quantisation() -> None:
    """The scales twice in fp32, before and after the offset is added."""
    assert sizes(gemm(2048, H100_NEW, nested=True)) == [2_818_048, 2_818_048, COLUMNS * DEPTH * 2, 33_554_432]


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("target", [A100, H100, RTX_4090, BLACKWELL])
def test_decoding_is_fused(rows: int, target: Target) -> None:
    """Up to 4 rows one kernel reads the 4-bit weight."""
    assert gemm(rows, target) == []


@pytest.mark.parametrize(("target", "most"), [(A100, 32), (H100, 32), (RTX_4090, 64), (BLACKWELL, 8)])
def test_fused_rows_by_device(target: Target, most: int) -> None:
    """172 blocks of columns are 1.6, 1.3, 1.3 and 1.2 waves: the device says up to how many rows are fused."""
    assert gemm(most, target) == []
    assert gemm(most + 1, target) != []


def test_odd_depth_is_never_fused() -> None:
    """Rows that are no whole number of blocks are dequantised, even for one token."""
    weight, scales = empty(96 * 80 // 2, 1, dtype=torch.uint8), empty(120, dtype=torch.float32)
    found = taken(bnb.gemm_4bit.default, empty(1, 80), weight, [96, 80], scales, 64, "nf4")
    assert sizes(found) == [96 * 80 * 2, 8_519_680]


def test_fp32_is_fused_below_8_rows() -> None:
    """There is no matrix kernel for fp32."""
    assert gemm(7, A100, dtype=torch.float32) == []
    assert gemm(8, A100, dtype=torch.float32)[0].bytes == COLUMNS * DEPTH * 4


def test_int8_product() -> None:
    """The int32 product, and the fp16 one before it becomes bf16."""
    inputs, weight = empty(32, 64, dtype=torch.int8), empty(16, 64, dtype=torch.int8)
    rows, columns = empty(32, dtype=torch.float32), empty(16, dtype=torch.float32)
    args = (inputs, weight, rows, columns)
    assert sizes(taken(bnb.int8_scaled_mm.default, *args, dtype=torch.float16)) == [32 * 16 * 4]
    found = taken(bnb.int8_scaled_mm.default, *args, dtype=torch.bfloat16)
    assert sizes(found) == [32 * 16 * 4, 32 * 16 * 2]
    assert all(one.before for one in found)


def test_int8_dequantised_product() -> None:
    """The kernel writes fp16."""
    product, rows, columns = empty(8, 4, dtype=torch.int32), empty(8), empty(4)
    assert taken(bnb.int8_mm_dequant.default, product, rows, columns) == []
    assert sizes(taken(bnb.int8_mm_dequant.default, product, rows, columns, torch.bfloat16)) == [64]


def test_int8_quantisation() -> None:
    """With a threshold, magnitudes in the input's format and one byte each for the mask."""
    inputs = empty(8, 4, dtype=torch.float16)
    outputs = (inputs, empty(8, dtype=torch.float32), None)
    operator = bnb.int8_vectorwise_quant.default
    assert sizes(hidden(operator, (inputs,), {"threshold": 6.0}, outputs, A100)) == [64, 32]
    assert hidden(operator, (inputs,), {}, outputs, A100) == []
