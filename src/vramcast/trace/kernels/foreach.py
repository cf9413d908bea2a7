"""Operators on lists of tensors."""

from vramcast.trace.kernels.call import Call, ceil_div
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden

CHUNK = 65_536


@entry("foreach norm", "aten._foreach_norm.Scalar")
def foreach_norm(call: Call) -> tuple[Hidden, ...]:
    """
    One partial norm per tensor and chunk, as many chunks as the largest tensor has.

    Formula:    tensors · ceil(largest / 65,536) · 4 B (8 B in fp64)
    Source:     torch aten/src/ATen/native/cuda/ForeachReduceOp.cu, foreach_tensor_norm_cuda (main, 2025)
    Exactness:  exact
    Ignores:    lists of mixed formats, orders other than 1, 2 and infinity: one norm after the other
    """
    tensors = call["self"]
    chunks = max((ceil_div(one.numel(), CHUNK) for one in tensors), default=0)
    size = len(tensors) * chunks * max(4, tensors[0].element_size() if tensors else 0)
    return (Hidden(size, "partial norms", before=True),) if size else ()


ENTRIES = (foreach_norm,)
