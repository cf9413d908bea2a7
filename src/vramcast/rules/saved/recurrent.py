"""
State-space and linear-attention layers.

Letters: D hidden.
"""

from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.weights import WeightKind
from vramcast.rules.saved.ops import FULL, Saved, Segment, linear_inputs
from vramcast.rules.sizes import Sizes


def recurrent_segment(mixer: StateSpace | LinearAttention, sizes: Sizes) -> Segment:
    """
    What a recurrent layer keeps when its fast kernels run.

    Formula:  inputs of its linears + s · `saved_elements_per_token`;  backward: as much again, for their gradients
    Source:   the layer's own account (domain/recurrent.py), read from the kernels' autograd functions.
    Raises:   UnsupportedError for a variant whose kernels nobody has read yet.
    Ignores:  the much larger tensors of the eager fallback that runs when the kernels are not installed.
    """
    weights = mixer.weights(sizes.hidden)
    linears = [w for w in weights if w.kind is WeightKind.LINEAR]
    readers = tuple(dict.fromkeys(w.name for w in linears if w.shape[1] == sizes.hidden and w.shape[0] != sizes.hidden))
    writers = tuple(dict.fromkeys(w.name for w in linears if w.shape[0] == sizes.hidden))
    width = next((w.shape[1] for w in linears if w.shape[0] == sizes.hidden), sizes.hidden)
    inner = sizes.branch * mixer.saved_elements_per_token + FULL * mixer.saved_fp32_per_token
    return Segment(
        name=f"recurrent layer ({mixer.variant})",
        saved=(
            *linear_inputs(sizes, readers, sizes.hidden, sizes.stream, "D"),
            Saved("inside the kernels", f"{sizes.branch}·a + {FULL}·a_fp32", inner),
            *linear_inputs(sizes, writers, width, sizes.branch, "inner", held=True),
        ),
        output=sizes.stream * sizes.hidden + sizes.branch * width,
        inner=sizes.stream * sizes.hidden + inner,
        inner_name=f"{mixer.variant} kernels",
        dequantized=max((w.numel for w in linears), default=0) if sizes.quantized else 0,
        output_grads=sum(w.parameters for w in linears if w.name in writers),
        parameters=sum(w.parameters for w in weights),
    )
