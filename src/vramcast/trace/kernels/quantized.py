"""bitsandbytes' 4- and 8-bit layers."""

import torch

from vramcast.trace.kernels.call import Call, bytes_of
from vramcast.trace.kernels.gemm import workspace
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden, Target

FLOAT = 4
ALWAYS_FUSED, NEVER_FUSED, LARGE_WEIGHT_NEVER_FUSED = 4, 1536, 512
LARGE_WEIGHT = 4 * 1024 * 1024
COLUMNS_PER_BLOCK = 64
FEW_ROWS = 7
# Rows up to which the fused kernel is taken, from this many waves of blocks (columns / 64 / multiprocessors) on.
FUSED_ROWS: dict[tuple[int, int], tuple[tuple[float, int], ...]] = {
    (7, 5): ((3, 64), (0.5, 64), (0, 32)),
    (8, 0): ((3, 128), (1, 32), (0, 16)),
    (8, 6): ((1, 128), (0.5, 64), (0, 16)),
    (9, 0): ((3, 64), (2, 48), (1, 32), (0.5, 16), (0, 0)),
    (10, 0): ((3, 32), (1, 8), (0, 0)),
    (10, 3): ((3, 32), (1, 8), (0, 0)),
    (12, 0): ((3, 256), (2, 128), (0.8, 64), (0.5, 8), (0, 8)),
}
OTHER_FUSED_ROWS = ((3.0, 256), (2.0, 128), (0.8, 64), (0.5, 8), (0.0, 8))


@entry("bnb gemm_4bit", "bitsandbytes.gemm_4bit.default")
def gemm_4bit(call: Call) -> tuple[Hidden, ...]:
    """
    Unless one fused kernel serves the few rows, the weight is dequantised for one matrix product.

    Formula:    fused (M ≤ 4, or a few hundred rows by device and waves of blocks): nothing. Else out · in · itemsize of the input;
                double quantisation: 2 · 4 B · scales; and the GEMM workspace. Never fused: M > 1,536 rows, M > 512 of a weight of
                at least 4 Mi elements, in not a multiple of the block size
    Source:     bitsandbytes bitsandbytes/backends/cuda/ops.py, gemm_4bit, _dequant_linear_fallback (0.50.2)
    Exactness:  modelled
    Ignores:    between 5 and 1,536 rows the thresholds are those of weights that are neither tall nor small
    """
    rows_of, codes = call["A"], call["absmax_8bit"]
    columns, depth = call["shapeB"]
    rows = rows_of.numel() // depth
    if not rows or _fused(rows, columns, depth, call["blocksize"], rows_of, call.target):
        return ()
    scales = (Hidden(codes.numel() * FLOAT, "scales, dequantised", before=True),) * 2 if codes is not None else ()
    weight = Hidden(columns * depth * rows_of.element_size(), "weight, dequantised", before=True)
    return *scales, weight, workspace(call.target, lt=call["bias"] is not None)


def _fused(rows: int, columns: int, depth: int, block: int, inputs: torch.Tensor, target: Target) -> bool:
    if rows > NEVER_FUSED or depth % block:
        return False
    if rows <= ALWAYS_FUSED:
        return True
    if columns * depth >= LARGE_WEIGHT and rows > LARGE_WEIGHT_NEVER_FUSED:
        return False
    device = target.device
    if inputs.dtype is torch.float32 or device < (7, 5) or (device[0] == 7 and inputs.dtype is not torch.float16):
        return rows <= FEW_ROWS
    if device == (8, 7) or device[0] == 11:
        return False
    waves = -(-columns // COLUMNS_PER_BLOCK) / target.sms
    most = next(most for least, most in FUSED_ROWS.get(device, OTHER_FUSED_ROWS) if waves >= least)
    return rows <= (most if device[0] == 10 else max(most, FEW_ROWS))


@entry("bnb int8 scaled mm", "bitsandbytes.int8_scaled_mm.default", "bitsandbytes.int8_mixed_scaled_mm.default")
def int8_scaled_mm(call: Call) -> tuple[Hidden, ...]:
    """
    The product in int32, and in fp16 if another format is wanted.

    Formula:    4 B · elements of the output; 2 B · elements, if it is not fp16
    Source:     bitsandbytes bitsandbytes/backends/default/ops.py, int8_scaled_mm; backends/cuda/ops.py, int8_mm_dequant (0.50.2)
    Exactness:  exact
    Ignores:    columns of outliers in 16 bit (LLM.int8's threshold), whose number depends on the data
    """
    output = call.outputs[0] if isinstance(call.outputs, tuple) else call.outputs
    half = () if output.dtype is torch.float16 else (Hidden(2 * output.numel(), "product in fp16", before=True),)
    return Hidden(4 * output.numel(), "product in int32", before=True), *half


@entry("bnb int8 dequant", "bitsandbytes.int8_mm_dequant.default")
def int8_mm_dequant(call: Call) -> tuple[Hidden, ...]:
    """
    The product in fp16, if another format is wanted.

    Formula:    2 B · elements, if the output is not fp16
    Source:     bitsandbytes bitsandbytes/backends/cuda/ops.py, int8_mm_dequant (0.50.2)
    Exactness:  exact
    """
    if call.outputs.dtype is torch.float16:
        return ()
    return (Hidden(2 * call.outputs.numel(), "product in fp16", before=True),)


@entry("bnb int8 quantise", "bitsandbytes.int8_vectorwise_quant.default")
def int8_vectorwise_quant(call: Call) -> tuple[Hidden, ...]:
    """
    Magnitudes and a mask, to find outliers.

    Formula:    threshold > 0: bytes of the input + 1 B · elements
    Source:     bitsandbytes bitsandbytes/backends/cuda/ops.py, int8_vectorwise_quant (0.50.2)
    Exactness:  exact
    """
    inputs = call["A"]
    if call["threshold"] <= 0:
        return ()
    return Hidden(bytes_of(inputs), "magnitudes"), Hidden(inputs.numel(), "mask of outliers")


ENTRIES = (gemm_4bit, int8_scaled_mm, int8_mm_dequant, int8_vectorwise_quant)
