"""
Mixtures of experts: routing, dispatch, the experts' own tensors, the shared expert.

Letters: D hidden, F expert width, E experts, k experts per token.
"""

from vramcast.domain.layer import MixtureOfExperts
from vramcast.rules.saved.feed_forward import activation_tensors, dense_segment
from vramcast.rules.saved.ops import FULL, Saved, Segment
from vramcast.rules.sizes import Sizes

INT64 = 8


def mixture_segment(ffn: MixtureOfExperts, sizes: Sizes) -> Segment:
    """
    What a mixture keeps per token, which visits k of E experts.

    Formula:  router: input (if trained) + 4·E (softmax) + k·(8 + 4 + 4) (choice, weight, normalised weight)
              experts: k·[s·D gathered input (if trained) + s·2·F gate and up + s·F activated + s·F product (if trained)
              + s·D output + 3·8 indices];  shared expert: as a dense part
              backward: D + k·(s·D + s·3·F)
    Source:   transformers 5.23 integrations/moe.py (grouped_mm experts); saved-tensor hooks on Mixtral.
    Ignores:  uneven routing (sizes do not depend on it here), the load-balancing loss, expert adapters.
    """
    b, k = sizes.branch, ffn.top_k
    experts = _expert_saved(ffn, sizes)
    router = [Saved("router softmax and choice", f"{FULL}·E + {INT64 + 2 * FULL}·k", FULL * ffn.experts + 16 * k)]
    if sizes.trains_weights:
        router.append(Saved("input of the router and experts", f"{sizes.stream}·D", sizes.stream * sizes.hidden))
    shared = dense_segment(ffn.shared, sizes, "shared expert").saved if ffn.shared else ()
    weights = ffn.weights(sizes.hidden)
    freed = k * b * ffn.width if sizes.trains_weights else 0
    output = sizes.stream * sizes.hidden + k * b * (sizes.hidden + ffn.width)
    return Segment(
        name="mixture of experts",
        saved=(*router, *experts, *shared),
        output=output,
        inner=output + (2 if ffn.gated else 1) * k * b * ffn.width - freed,
        inner_name="experts' product",
        output_grads=sum(w.parameters for w in weights if w.name == "down_proj"),
        parameters=sum(w.parameters for w in weights),
    )


def _expert_saved(ffn: MixtureOfExperts, sizes: Sizes) -> tuple[Saved, ...]:
    b, k, hidden, width = sizes.branch, ffn.top_k, sizes.hidden, ffn.width
    before = (2 if ffn.gated else activation_tensors(ffn.activation)) * width
    saved = [Saved("gate and up of the chosen experts", f"k·{b}·2·F", k * b * before)]
    if ffn.gated and not sizes.fused_mlp:
        saved.append(Saved("activated gate", f"k·{b}·F", k * b * width))
    if sizes.trains_weights:
        saved.append(Saved("gathered input", f"k·{b}·D", k * b * hidden))
        saved.append(Saved("product", f"k·{b}·F", k * b * width))
    saved.append(Saved("output of the chosen experts", f"k·{b}·D", k * b * hidden))
    saved.append(Saved("dispatch indices", f"k·{3 * INT64}", k * 3 * INT64))
    return tuple(saved)
