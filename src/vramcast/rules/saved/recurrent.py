"""
State-space and linear-attention layers.

Letters: D hidden.
"""

from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.saved.linears import linear, linears
from vramcast.rules.saved.ops import FULL, Saved, Segment
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

Recurrent = StateSpace | LinearAttention


def recurrent(tape: Tape, mixer: Recurrent, x: Value) -> Value:
    """
    The output of a recurrent layer that reads `x`, when its fast kernels run; what it keeps goes on the tape.

    Formula:  inputs of its first linears + s·`saved_elements_per_token` + 4·`saved_fp32_per_token`
              + input of the output projection, unless a fused function makes it again
    Source:   the layer's own account (domain/recurrent.py), read from the kernels' autograd functions.
    Ignores:  the much larger tensors of the eager fallback that runs when the kernels are not installed.

    Raises:
        UnsupportedError: a variant whose kernels nobody has read yet.
    """
    sizes = tape.sizes
    first, output = _readers(mixer, sizes.hidden), _linears(mixer, sizes.hidden)[-1]
    if isinstance(mixer, LinearAttention) and mixer.variant is LinearKind.RWKV:
        tape.keep(x, "input of the shift")  # the mixes that its linears read are in the layer's own account
    else:
        linears(tape, tuple(dict.fromkeys(w.name for w in first)), x, ())
    tape.note(Saved("inside the kernels", f"{sizes.branch}·a + {FULL}·a_fp32", _inner(mixer, sizes)))
    result = Value(output.shape[1], sizes.branch, "inner")
    if mixer.fused_output:
        tape.hold(result)
    return linear(tape, output.name, result, sizes.hidden, "D")


def recurrent_segment(mixer: Recurrent, sizes: Sizes, saved: tuple[Saved, ...]) -> Segment:
    """A recurrent layer that keeps `saved`; its backward allocates as much again as its kernels kept, for gradients."""
    weights = mixer.weights(sizes.hidden)
    layers = _linears(mixer, sizes.hidden)
    output = layers[-1]
    stream = sizes.stream * sizes.hidden
    return Segment(
        name=f"recurrent layer ({mixer.variant})",
        saved=saved,
        output=stream + sizes.branch * output.shape[1],
        inner=stream + _inner(mixer, sizes),
        inner_name=f"{mixer.variant} kernels",
        dequantized=max(w.numel for w in layers) if sizes.quantized else 0,
        laid_out=sizes.branch if sizes.eight_bit else sizes.compute,
        weights=weights,
        writing=(output,),
    )


def _inner(mixer: Recurrent, sizes: Sizes) -> int:
    return sizes.branch * mixer.saved_elements_per_token + FULL * mixer.saved_fp32_per_token


def _linears(mixer: Recurrent, hidden: int) -> tuple[Weight, ...]:
    """The linear layers in order; the last one is the output projection."""
    return tuple(w for w in mixer.weights(hidden) if w.kind in (WeightKind.LINEAR, WeightKind.SHARED))


def _readers(mixer: Recurrent, hidden: int) -> tuple[Weight, ...]:
    return tuple(w for w in _linears(mixer, hidden)[:-1] if w.shape[1] == hidden)
