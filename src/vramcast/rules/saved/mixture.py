"""
Mixtures of experts: routing, dispatch, the experts' own tensors, the shared expert.

Letters: D hidden, F expert width, E experts, k experts per token.
"""

from vramcast.domain.family_code import Routing
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.weights import WeightKind
from vramcast.rules.saved.feed_forward import activated, dense, gated_product
from vramcast.rules.saved.linears import linear
from vramcast.rules.saved.ops import FULL, Saved, Segment, multiplied
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

INT32, INT64 = 4, 8


def mixture(tape: Tape, ffn: MixtureOfExperts, x: Value) -> Value:
    """
    The output of a mixture that reads `x`, of which each token visits k of E experts; what it keeps goes on the tape.

    Formula:  `_router` + k·[s·D (gathered input, if trained) + s·2·F gate and up + s·F activated + s·F product (if
              trained) + s·D output + weight + 3·8 indices (+ 8 for biases)] + 4·E once (offsets)
              shared expert: as a dense part (+ s·D + s, its output and its gate)
    Source:   transformers 5.23 integrations/moe.py (grouped_mm experts, which autocast does not touch),
              modeling_mixtral.py, modeling_qwen2_moe.py, modeling_deepseek_v3.py, modeling_gpt_oss.py.
    Ignores:  uneven routing (sizes do not depend on it here), the load-balancing loss, more than one group of experts,
              routers of other families (taken as Mixtral's), adapters on fused experts.
    """
    weight = _router(tape, ffn, x)
    _experts(tape, ffn)
    tape.keep(Value(ffn.top_k, weight, "k"), "weights of the chosen experts, gathered")
    if ffn.shared:
        out = dense(tape, ffn.shared, x)
        if ffn.shared_gate:
            gate = linear(tape, "shared_expert_gate", x, 1, "1")
            tape.keep(gate.like(), "opened gate of the shared expert")
            tape.keep(out, "output of the shared expert")
    return x.like(tape.sizes.branch)


def _router(tape: Tape, ffn: MixtureOfExperts, x: Value) -> int:
    """
    Keeps what routing needs; answers with the bytes of one chosen weight.

    Formula:  input (in FP32 for -fp32 routings, whose cast weight is kept too: 4·E·D once) + 4·E (softmax; a sigmoid in the type of its input)
              + 8·k (choice) + 4·k + 4 (weights and their sum, where they are divided by it)
              sigmoid-fp32: + E + 24 (mask, choice of groups);  chosen: s·k in place of 4·E
    """
    k, experts = ffn.top_k, ffn.experts + ffn.zero_experts
    in_fp32 = ffn.routing in (Routing.SOFTMAX_FP32, Routing.SIGMOID_FP32)
    logits = linear(tape, "router", x.cast(FULL) if in_fp32 else x, experts, "E")
    if in_fp32 and tape.sizes.stream != FULL:
        size = logits.size
        tape.note(Saved("the router's weight, cast", f"{size}·E·D", 0, once=size * experts * tape.sizes.hidden))
    tape.note(Saved("choice of experts", f"{INT64}·k", INT64 * k))
    if ffn.routing is Routing.CHOSEN:
        tape.keep(Value(k, logits.size, "k"), "softmax of the chosen")
        return logits.size
    sigmoid = ffn.routing is Routing.SIGMOID_FP32
    scores = logits.size if sigmoid else FULL
    tape.keep(Value(experts, scores, "E"), "router scores")
    if sigmoid:
        tape.note(Saved("choice of groups", f"E + {3 * INT64}", experts + 3 * INT64))
    if ffn.weights_divided:
        tape.note(Saved("chosen weights and their sum", f"{scores}·k + {FULL}", scores * k + FULL))
    return logits.size if ffn.routing is Routing.SOFTMAX_CAST else scores


def _experts(tape: Tape, ffn: MixtureOfExperts) -> None:
    k, hidden, width = ffn.top_k, tape.sizes.hidden, ffn.width
    s = tape.sizes.stream  # autocast leaves the grouped product in its weights' format
    merged = [w for w in ffn.weights(hidden) if w.kind is WeightKind.EXPERTS and w.name in tape.sizes.merged]
    learns = tape.sizes.trains_weights or bool(merged)
    for w in merged:
        size = tape.sizes.weight * w.parameters
        tape.note(
            Saved(f"{w.name} of all experts with their update", f"{tape.sizes.weight}·E·d_out·d_in", 0, once=size)
        )
    first = Value(k * width * (2 if ffn.gated else 1), s, "k·2·F" if ffn.gated else "k·F")
    if learns:
        tape.keep(Value(k * hidden, s, "k·D"), "gathered input")
    if ffn.gated:
        inner = gated_product(tape, ffn.activation, first.view(k * width, "k·F"), first.view(k * width, "k·F"))
    else:
        inner = activated(tape, ffn.activation, first)
    if learns:
        tape.keep(inner, "product")
    tape.keep(Value(k * hidden, s, "k·D"), "output of the chosen experts")
    tape.note(Saved("dispatch indices", f"k·{3 * INT64}", k * 3 * INT64))
    if ffn.bias and tape.sizes.trains_weights:
        tape.note(Saved("indices of biases", f"k·{INT64}", k * INT64))
    tape.note(Saved("where each expert's tokens begin", f"{INT32}·E", 0, once=INT32 * ffn.experts))


def mixture_segment(ffn: MixtureOfExperts, sizes: Sizes, saved: tuple[Saved, ...]) -> Segment:
    """
    A mixture that keeps `saved`, and the worst moment of its backward: inside the experts.

    Formula:  D + k·(s·D + s·3·F) - k·s·F (the product, freed by then, if trained)
              (+ s·E·d_out·d_in once: the gradient of the largest adapted expert tensor, whole before it becomes the
              adapters')
    """
    b, k = sizes.branch, ffn.top_k
    weights = ffn.weights(sizes.hidden)
    merged = [w.parameters for w in weights if w.kind is WeightKind.EXPERTS and w.name in sizes.merged]
    freed = k * b * ffn.width if sizes.trains_weights or merged else 0
    output = sizes.stream * sizes.hidden + k * b * (sizes.hidden + ffn.width)
    return Segment(
        name="mixture of experts",
        saved=saved,
        output=output,
        inner=output + (2 if ffn.gated else 1) * k * b * ffn.width - freed,
        inner_name="experts' product",
        once=sizes.weight * max(merged, default=0),
        output_grads=sum(w.parameters for w in weights if w.name == "down_proj"),
        parameters=sum(w.parameters for w in weights),
        matrices=multiplied(weights),
    )
