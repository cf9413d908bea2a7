"""Attention of cuDNN."""

from vramcast.trace.kernels.attention_sizes import FLOAT, heads_first
from vramcast.trace.kernels.call import Call, bytes_of
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden


@entry(
    "cudnn backward",
    "aten._scaled_dot_product_cudnn_attention_backward.default",
    "aten._cudnn_attention_backward.default",
)
def cudnn_backward(call: Call) -> tuple[Hidden, ...]:
    """
    One workspace: the gradient of the queries in fp32, row sums, gradients of keys and values for each query head.

    Formula:    4 B · B · N · Tq · (H + 1); if K < N: B · N · Tk · (H + Hv) · itemsize; a copy of dO if its last stride is not 1
    Source:     cudnn-frontend include/cudnn_frontend/node/scaled_dot_product_flash_attention.h, CompositeSDPABackwardNode (1.23);
                torch aten/src/ATen/native/cudnn/MHA.cpp, run_cudnn_SDP_bprop (main, 2026)
    Exactness:  modelled
    Ignores:    what cuDNN's backend adds (the frontend asks for the gradients per query head, the backend keeps them); the forward
                workspace, where the frontend asks for nothing and the backend's part is not known; cuDNN before 9.0; packed sequences
    """
    query, value, gradient = call["query"], call["value"], call["grad_out"]
    if query.dim() != 4:
        return ()
    sizes = heads_first(query, call["key"])
    size = FLOAT * sizes.batch * sizes.heads * sizes.queries * (sizes.width + 1)
    if sizes.kv_heads < sizes.heads:
        per_key = sizes.batch * sizes.heads * sizes.keys * query.element_size()
        size += per_key * (sizes.width + value.shape[-1])
    copy = bytes_of(gradient) if gradient.stride()[-1] != 1 else 0
    copies = (Hidden(copy, "gradient, packed"),) if copy else ()
    return (*copies, Hidden(size, "cuDNN attention workspace"))


ENTRIES = (cudnn_backward,)
