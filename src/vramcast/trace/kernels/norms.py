"""Gradients of norms' weights."""

from math import prod

from vramcast.trace.kernels.call import Call, ceil_div, copied
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden

MANY_ROWS = 64 * 1024
COLUMNS_PER_BLOCK = 32
ROWS_PER_BLOCK = 32
MOST_BLOCKS = 32 * 1024


@entry(
    "norm weight gradients",
    "aten.native_layer_norm_backward.default",
    "aten._fused_rms_norm_backward.default",
)
def weight_gradients(call: Call) -> tuple[Hidden, ...]:
    """
    Partial sums of the gradients of weight and bias, when there are many short rows.

    Formula:    if M > 65,536 rows and floor(D / 32) < floor(SMs / 2): min(ceil(M / 32), floor(32,768 / ceil(D / 32))) · D · itemsize, each
    Source:     torch aten/src/ATen/native/cuda/layer_norm_kernel.cu, LaunchGammaBetaBackwardCUDAKernel (main, 2025)
    Exactness:  exact
    Ignores:    torch before that kernel, which has none
    """
    rows, width = _rows(call)
    if rows <= MANY_ROWS or width // COLUMNS_PER_BLOCK >= call.target.sms // 2:
        return ()
    blocks = min(MOST_BLOCKS // ceil_div(width, COLUMNS_PER_BLOCK), ceil_div(rows, ROWS_PER_BLOCK))
    gradients = [one for one in call.outputs[1:] if one is not None]
    return tuple(
        Hidden(blocks * width * one.element_size(), "partial sums of a weight's gradient") for one in gradients
    )


@entry(
    "norm operand copies",
    "aten.native_layer_norm.default",
    "aten._fused_rms_norm.default",
    "aten.native_layer_norm_backward.default",
    "aten._fused_rms_norm_backward.default",
)
def operand_copies(call: Call) -> tuple[Hidden, ...]:
    """
    Packed copies of input and gradient that are not packed.

    Formula:    elements · itemsize of each
    Source:     torch aten/src/ATen/native/cuda/layer_norm_kernel.cu, layer_norm_cuda, layer_norm_backward_cuda (main, 2025)
    Exactness:  exact
    """
    copies = [Hidden(copied(call["input"]), "input, packed", before=True)]
    if "grad_out" in call:
        copies.append(Hidden(copied(call["grad_out"]), "gradient, packed"))
    return tuple(one for one in copies if one.bytes)


def _rows(call: Call) -> tuple[int, int]:
    width = prod(call["normalized_shape"])
    return call["input"].numel() // max(1, width), width


ENTRIES = (weight_gradients, operand_copies)
