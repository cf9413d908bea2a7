"""
Dense feed-forward parts.

Letters: D hidden, F ffn width.
"""

from vramcast.domain.layer import Dense
from vramcast.rules.saved.ops import Saved, Segment, linear_inputs, projecting
from vramcast.rules.sizes import Sizes

# Tensors of the activation's width that an eager activation keeps, its input included: `gelu_new` is written out in
# Python (x, x/2, tanh, 1 + tanh), a squared ReLU keeps the ReLU, a ReLU keeps only its output, which its reader has.
ACTIVATION_TENSORS = {"gelu_new": 4, "gelu_fast": 4, "quick_gelu": 2, "relu": 0, "relu2": 1, "xielu": 4}


def activation_tensors(activation: str) -> int:
    """Tensors that the activation keeps; 1 (its input) for those that torch runs as one operator."""
    return ACTIVATION_TENSORS.get(activation, 1)


def dense_segment(ffn: Dense, sizes: Sizes, name: str = "MLP") -> Segment:
    """
    What a dense feed-forward part keeps, and the worst moment of its backward: at the product's gradient.

    Formula:  gated: inputs of gate and up + s·(F gate + F activated + F up) + input of down (F)
              plain: input of up + s·F (before the activation) + input of down (F);  fused kernels: no activated copy
              backward: D (residual gradient) + s·3·F (gradients of product, activated, up) - input of down, freed by then
    Source:   transformers 5.23 LlamaMLP, GPT2MLP, activations.py; Liger LigerSiLUMulFunction; saved-tensor hooks.
    Ignores:  the norm's backward, always smaller.
    """
    b, width = sizes.branch, ffn.width
    first = ("up_proj",) if not ffn.gated else ("gate_up_proj",) if ffn.fused_gate_up else ("gate_proj", "up_proj")
    inputs = linear_inputs(sizes, first, sizes.hidden, sizes.stream, "D")
    inner = _inner(ffn, sizes)
    down = linear_inputs(sizes, ("down_proj",), width, b, "F", held=ffn.activation == "relu" and not ffn.gated)
    masks = (Saved("residual dropout mask", "D", sizes.hidden),) if sizes.dropout.residual else ()
    weights = ffn.weights(sizes.hidden)
    writer = [w for w in weights if w.name.startswith("down_proj")]
    freed = sum(saved.per_token for saved in down)
    gradients = (3 if ffn.gated else 2) * b * width
    return Segment(
        name=name,
        saved=(*inputs, *inner, *down, *masks),
        output=sizes.stream * sizes.hidden + b * width,
        inner=sizes.stream * sizes.hidden + max(gradients - freed, 0),
        inner_name="gated product" if ffn.gated else "activation",
        forward=sizes.stream * sizes.hidden
        + projecting(sizes, "down_proj", width, b, held=False, norm_fp32=sizes.norms_copy),
        dequantized=writer[0].numel if sizes.quantized else 0,
        output_grads=sum(w.parameters for w in writer),
        parameters=sum(w.parameters for w in weights),
    )


def _inner(ffn: Dense, sizes: Sizes) -> tuple[Saved, ...]:
    b, width = sizes.branch, ffn.width
    count = 1 if sizes.fused_mlp else activation_tensors(ffn.activation)
    before = (Saved("input of the activation", f"{b}·{count}·F", b * count * width),) if count else ()
    if not ffn.gated:
        return before
    if sizes.fused_mlp:
        return (*before, Saved("up", f"{b}·F", b * width))
    return (*before, Saved("activated gate and up", f"{b}·2·F", b * 2 * width))
