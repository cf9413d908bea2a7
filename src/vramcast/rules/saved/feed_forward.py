"""
Dense feed-forward parts.

Letters: D hidden, F ffn width.
"""

from vramcast.domain.family_code import CLAMPED_SWIGLU
from vramcast.domain.feed_forward import Dense
from vramcast.rules.saved.linears import linear, linears
from vramcast.rules.saved.ops import FULL, Saved, Segment, projecting
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

# Tensors of the activation's width that it keeps: 1, its input, where torch runs it as one operator. `gelu_new` is
# written out in Python (x, x/2, tanh, 1 + tanh), `quick_gelu` keeps x and the sigmoid, a squared ReLU keeps the ReLU.
ACTIVATION_TENSORS = {
    "gelu_new": 4,
    "gelu_accurate": 4,
    "gelu_python_tanh": 4,
    "gelu_fast": 7,
    "quick_gelu": 2,
    "relu2": 1,
    "xielu": 4,
}

KEEP_THEIR_OUTPUT = ("relu", "tanh", "sigmoid")
PYTHON_GELU = ("gelu_new", "gelu_accurate", "gelu_python_tanh")


def dense(tape: Tape, ffn: Dense, x: Value) -> Value:
    """
    The output of a dense feed-forward part that reads `x`; what it keeps goes on the tape.

    Formula:  gated: inputs of gate and up + s·(F gate + F activated + F up) + input of down (F)
              plain: input of up + s·F (before the activation) + input of down (F);  fused kernels: no activated copy
    Source:   transformers 5.23 LlamaMLP, GPT2MLP, activations.py; Liger LigerSiLUMulFunction.
    """
    width = ffn.width
    if not ffn.gated:
        (before,) = linears(tape, ("up_proj",), x, ((width, "F"),))
        inner = activated(tape, ffn.activation, before)
    else:
        if ffn.fused_gate_up:
            both = linear(tape, "gate_up_proj", x, 2 * width, "2·F")
            gate, up = both.view(width, "F"), both.view(width, "F")
        else:
            gate, up = linears(tape, ("gate_proj", "up_proj"), x, ((width, "F"), (width, "F")))
        inner = gated_product(tape, ffn.activation, gate, up)
    return linear(tape, "down_proj", inner, tape.sizes.hidden, "D")


def gated_product(tape: Tape, activation: str, gate: Value, up: Value) -> Value:
    """act(gate) · up: the product keeps both factors, a fused kernel gate and up alone; gpt-oss's keeps four more of F."""
    if gate.leaf and up.leaf:
        return up.like()
    if activation == CLAMPED_SWIGLU:
        tape.keep(gate, "gate, to be clamped")
        tape.keep(up, "up, to be clamped")
        for op in ("clamped gate", "sigmoid", "activated gate", "up plus one"):
            tape.keep(up.like(), op)
        return up.like()
    if tape.sizes.fused_mlp:
        tape.keep(gate, "gate")
    else:
        active = activated(tape, activation, gate)
        tape.keep(active, "activated gate")
    tape.keep(up, "up")
    return up.like()


def activated(tape: Tape, activation: str, x: Value) -> Value:
    """What an activation makes of `x`."""
    out = x.like()
    if x.leaf:
        return out
    if activation in KEEP_THEIR_OUTPUT:
        tape.keep(out, "output of the activation")
        return out
    if activation in PYTHON_GELU and tape.sizes.autocast and x.size != FULL:
        return _gelu_under_autocast(tape, x)
    first = x.like() if activation == "relu2" else x
    tape.keep(first, "input of the activation")
    for _ in range(ACTIVATION_TENSORS.get(activation, 1) - 1):
        tape.keep(x.like(), "inside the activation")
    if activation == "xielu":
        tape.note(Saved("where the activation's input is above zero", x.letter, x.width))
    return out


def _gelu_under_autocast(tape: Tape, x: Value) -> Value:
    """A GELU written out in Python under autocast, whose power, and all that is made of it, is FP32: x, tanh, 1 + tanh."""
    tape.keep(x.like(), "inside the activation")
    for _ in range(3):
        tape.keep(x.like(FULL), "inside the activation, in FP32")
    return x.like(FULL)


def dense_segment(ffn: Dense, sizes: Sizes, saved: tuple[Saved, ...], out: Value) -> Segment:
    """
    A dense feed-forward part that keeps `saved` and gives `out`, and the worst moment of its backward: at the product's gradient.

    Formula:  D (residual gradient) + s·3·F (gradients of product, activated, up; 2·F without a gate, unless the activation itself
              ends in a product, or an adapter's gradient is added to its layer's) - input of down, freed by then
    Ignores:  the norm's backward, always smaller.
    """
    b, width = out.size if sizes.quantized else sizes.branch, ffn.width
    weights = ffn.weights(sizes.hidden)
    writer = tuple(w for w in weights if w.name.startswith("down_proj"))
    product = ffn.gated or ACTIVATION_TENSORS.get(ffn.activation, 1) > 1 or "down_proj" in sizes.adapted
    gradients = (3 if product else 2) * b * width
    stream = sizes.stream * sizes.hidden
    running = projecting(sizes, "down_proj", width, b, held=False, norm_fp32=sizes.norms_copy)
    return Segment(
        name="MLP",
        saved=saved,
        output=stream + b * width,
        inner=stream + max(gradients - _freed(sizes, width, b), 0),
        inner_name="gated product" if ffn.gated else "activation",
        forward=stream + running.base,
        forward_adapter=stream + running.adapter,
        forward_sum=stream + running.sum,
        rerun=sizes.trains_weights or "down_proj" in sizes.adapted,
        dequantized=writer[0].numel if sizes.quantized else 0,
        laid_out=b if sizes.eight_bit else sizes.compute,
        weights=weights,
        writing=writer,
    )


def _freed(sizes: Sizes, width: int, itemsize: int) -> int:
    """Bytes per token of the output projection's input, which its backward has freed."""
    tape = Tape(sizes)
    linear(tape, "down_proj", Value(width, itemsize, "F"), sizes.hidden, "D")
    return sum(saved.per_token for saved in tape.cut())
