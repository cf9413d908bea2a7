"""
Mixtures of experts: routing, dispatch, the experts' own tensors, the shared expert.

Letters: D hidden, F expert width, E experts, k experts per token.
"""

from collections.abc import Sequence
from dataclasses import replace

from vramcast.domain.family_code import Routing
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.saved.feed_forward import activated, dense, gated_product
from vramcast.rules.saved.linears import linear
from vramcast.rules.saved.ops import FULL, Saved, Segment
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

INT32, INT64 = 4, 8


def mixture(tape: Tape, ffn: MixtureOfExperts, x: Value) -> tuple[Value, tuple[tuple[Saved, ...], ...]]:
    """
    The output of a mixture that reads `x`, of which each token visits k of E experts, and what is kept before its last part.

    The rest of what it keeps is on the tape.

    Formula:  `_router` + k·[s·D (gathered input, if trained) + s·2·F gate and up + s·F activated + s·F product (if
              trained) + s·D output + weight + 3·8 indices (+ 8 for biases)] + 4·E once (offsets)
              shared expert: as a dense part (+ s·D + s, its output and its gate)
    Source:   transformers 5.23 integrations/moe.py (grouped_mm experts, which autocast does not touch),
              modeling_mixtral.py, modeling_qwen2_moe.py, modeling_deepseek_v3.py, modeling_gpt_oss.py.
    Ignores:  uneven routing (sizes do not depend on it here), the load-balancing loss, more than one group of experts,
              routers of other families (taken as Mixtral's), what PEFT adds to a weight and drops again.
    """
    weight = _router(tape, ffn, x)
    parts = _experts(tape, ffn)
    tape.keep(Value(ffn.top_k, weight, "k"), "weights of the chosen experts, gathered")
    if ffn.shared:
        out = dense(tape, ffn.shared, x)
        if ffn.shared_gate:
            gate = linear(tape, "shared_expert_gate", x, 1, "1")
            tape.keep(gate.like(), "opened gate of the shared expert")
            tape.keep(out, "output of the shared expert")
    return x.like(tape.sizes.branch), parts


def _router(tape: Tape, ffn: MixtureOfExperts, x: Value) -> int:
    """
    Keeps what routing needs; answers with the bytes of one chosen weight.

    Formula:  input (in FP32 for -fp32 routings, whose cast weight is kept too: 4·E·D once) + 4·E (softmax; a sigmoid in the type of its input)
              + 8·k (choice) + 4·k + 4 (weights and their sum, where they are divided by it)
              input, if its weight is trained or adapted (PEFT adds the update to it)
              sigmoid-fp32: + E + 24 (mask, choice of groups);  chosen: s·k in place of 4·E
    """
    k, experts = ffn.top_k, ffn.experts + ffn.zero_experts
    in_fp32 = ffn.routing in (Routing.SOFTMAX_FP32, Routing.SIGMOID_FP32)
    read = x.cast(FULL) if in_fp32 else x
    logits = linear(tape, "router", read, experts, "E")
    if "router" in tape.sizes.merged:
        tape.keep(read.cast(tape.sizes.compute) if tape.sizes.autocast else read, "input of the adapted router")
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


def _experts(tape: Tape, ffn: MixtureOfExperts) -> tuple[tuple[Saved, ...], ...]:
    """What the products and the activation keep, apart from each other; the last of it is still on the tape."""
    k, hidden, width = ffn.top_k, tape.sizes.hidden, ffn.width
    s = tape.sizes.stream  # autocast leaves the grouped product in its weights' format
    merged = [w for w in ffn.weights(hidden) if w.kind is WeightKind.EXPERTS and w.name in tape.sizes.merged]
    learns = tape.sizes.trains_weights or bool(merged)
    first = Value(k * width * (2 if ffn.gated else 1), s, "k·2·F" if ffn.gated else "k·F")
    if learns:
        tape.keep(Value(k * hidden, s, "k·D"), "gathered input")
    for w in merged:
        if w.name != "down_proj":
            _with_update(tape, w)
    routed = tape.cut()
    if ffn.gated:
        inner = gated_product(tape, ffn.activation, first.view(k * width, "k·F"), first.view(k * width, "k·F"))
    else:
        inner = activated(tape, ffn.activation, first)
    gated = tape.cut()
    if learns:
        tape.keep(inner, "product")
    for w in merged:
        if w.name == "down_proj":
            _with_update(tape, w)
    written = tape.cut()
    tape.keep(Value(k * hidden, s, "k·D"), "output of the chosen experts")
    tape.note(Saved("dispatch indices", f"k·{3 * INT64}", k * 3 * INT64))
    if ffn.bias and tape.sizes.trains_weights:
        tape.note(Saved("indices of biases", f"k·{INT64}", k * INT64))
    tape.note(Saved("where each expert's tokens begin", f"{INT32}·E", 0, once=INT32 * ffn.experts))
    return routed, gated, written


def _with_update(tape: Tape, w: Weight) -> None:
    """Keeps adapted experts' weight with its update, which their product reads."""
    size = tape.sizes.weight
    formula = f"{size}·E·d_out·d_in"
    tape.note(Saved(f"{w.name} of all experts with their update", formula, 0, once=size * w.parameters))


def mixture_segments(ffn: MixtureOfExperts, sizes: Sizes, kept: Sequence[tuple[Saved, ...]]) -> tuple[Segment, ...]:
    """
    A mixture as four segments that keep `kept`, each with the worst moment of its own backward.

    Formula:  last first, each with s·D (residual gradient); every segment is gone when the one before it begins:
              weights of the experts: 3·k·s·D (the results' gradient, scattered; its products with weights and results)
              second product: k·s·D + k·s·F (gradients of its output and input)
              gated product: 3·k·s·F (gradients of product, activated, up; 2·F without a gate)
              first product: 2·k·s·F + k·s·D (gradients of its output and input)
              + s·E·d_out·d_in once for both products of adapted experts: the gradient of the weight with its update, whole
              before it becomes the adapters'
    Source:   transformers 5.23 integrations/moe.py (grouped_mm_experts_forward); torch derivatives of index, mul, _grouped_mm.
    """
    size, k, hidden = sizes.stream, ffn.top_k, sizes.hidden
    wide, first = k * ffn.width * size, (2 if ffn.gated else 1) * k * ffn.width * size
    chosen = k * hidden * size
    weights = ffn.weights(hidden)
    shared = ffn.shared.weights(hidden) if ffn.shared else ()
    behind = tuple(w for w in weights if w in shared or w.name == "shared_expert_gate")
    second = tuple(w for w in weights if w.name.startswith("down_proj") and w not in behind)
    before = tuple(w for w in weights if w not in behind and w not in second)
    opening = tuple(w for w in before if w.name.startswith(("gate", "up")))
    routed, gated, written, weighed = kept
    return (
        _part("experts' first product", routed, first + chosen, sizes, before, opening),
        _part("experts' gated product" if ffn.gated else "experts' activation", gated, first + wide, sizes),
        _part("experts' second product", written, chosen + wide, sizes, second, second),
        replace(
            _part("experts' weights", weighed, 3 * chosen, sizes, behind, behind), forward=size * hidden + 2 * chosen
        ),
    )


def _part(
    name: str,
    saved: tuple[Saved, ...],
    allocated: int,
    sizes: Sizes,
    weights: tuple[Weight, ...] = (),
    writing: tuple[Weight, ...] = (),
) -> Segment:
    """A part of the mixture that holds `weights`, with the moment `name`, at which gradients of `writing` exist."""
    width = sizes.stream * sizes.hidden + allocated
    return Segment(
        name="mixture of experts",
        saved=saved,
        output=width,
        output_name=name,
        inner=width,
        inner_name=name,
        once=sizes.weight * max((w.parameters for w in writing if w.name in sizes.merged), default=0),
        weights=weights,
        writing=writing,
    )
