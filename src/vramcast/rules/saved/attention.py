"""
An attention layer: projections, norms on query and key, rotation, the kernel, the output projection.

Letters: D hidden, N heads, K KV heads, H head dim.
"""

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.family_code import Scores
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.run import AttentionKernel
from vramcast.rules.attention_kernel import head_dims
from vramcast.rules.saved.attention_core import Heads, attended, core_backward, core_forward
from vramcast.rules.saved.linears import linear, linears
from vramcast.rules.saved.norms import normed
from vramcast.rules.saved.ops import Saved, Segment, projecting
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

PAIRWISE = (AttentionKernel.EAGER, AttentionKernel.MATH)  # scores are tensors of their own


def attention(tape: Tape, mixer: Attention | LatentAttention, x: Value, *, masked: bool) -> Value:
    """
    The output of an attention layer that reads `x`; what it keeps goes on the tape.

    Formula:  inputs of the projections + what norms on query and key keep + `attended` + input of o_proj
              (+ 2·s·N·H: a gate and what it let through)
    Source:   transformers 5.23 modeling_llama.py, modeling_deepseek_v3.py, modeling_qwen3_next.py.
    Ignores:  cos and sin (shared by all layers), relative position biases, sparse-attention indexers.
    """
    heads = heads_of(mixer, masked=masked)
    gate: Value | None = None
    if isinstance(mixer, LatentAttention):
        query, key, value = _latent(tape, mixer, x)
    else:
        query, key, value, gate = _projected(tape, mixer, x)
    out = attended(tape, heads, query, key, value)
    if gate is not None:
        tape.keep(gate, "output gate")
        tape.keep(out, "attention output, to be gated")
        tape.keep(out.like(), "gate, opened")
        out = out.like()
    return linear(tape, "o_proj", out, tape.sizes.hidden, "D")


def heads_of(mixer: Attention | LatentAttention, *, masked: bool) -> Heads:
    """The widths that the kernel sees."""
    key_dim, value_dim = head_dims(mixer)
    latent = isinstance(mixer, LatentAttention)
    return Heads(
        heads=mixer.heads,
        kv_heads=mixer.heads if isinstance(mixer, LatentAttention) else mixer.kv_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        masked=masked,
        softcap=isinstance(mixer, Attention) and mixer.softcap,
        packed=latent or (isinstance(mixer, Attention) and mixer.packed_rotary),
        scores=mixer.scores if isinstance(mixer, Attention) else Scores.SOFTMAX_FP32,
        sinks=isinstance(mixer, Attention) and mixer.sinks,
    )


def attention_segment(
    mixer: Attention | LatentAttention, sizes: Sizes, saved: tuple[Saved, ...], *, masked: bool
) -> Segment:
    """
    An attention layer that keeps `saved`, and the worst moment of its backward: inside the kernel.

    What only the output projection kept is gone by then; where scores are tensors of their own, so is its gradient.
    """
    kernel = sizes.attention
    heads = heads_of(mixer, masked=masked)
    backward, pairs = core_backward(heads, kernel, sizes)
    weights = mixer.weights(sizes.hidden)
    writer = tuple(w for w in weights if w.name.startswith("o_proj"))
    stream = sizes.stream * sizes.hidden
    gradient = stream + sizes.core * heads.out
    held = kernel not in PAIRWISE
    running = projecting(sizes, "o_proj", heads.out, sizes.core, held=held, norm_fp32=sizes.norms_copy)
    recomputed = _recomputed_pairs(heads, sizes) if sizes.selective else 0
    return Segment(
        name=f"attention ({kernel})",
        saved=saved,
        output=gradient,
        inner=(gradient if held else stream) + backward - _freed(heads, sizes),
        inner_name=f"{kernel} attention",
        forward=stream + running.base,
        forward_adapter=stream + running.adapter,
        forward_sum=stream + running.sum,
        forward_pairs=core_forward(heads, kernel, sizes),
        inner_pairs=pairs + recomputed,
        dequantized=writer[0].numel if sizes.quantized else 0,
        laid_out=sizes.core if sizes.eight_bit else sizes.compute,
        weights=weights,
        writing=writer,
    )


def _freed(heads: Heads, sizes: Sizes) -> int:
    """Bytes per token that the output projection kept for itself."""
    tape = Tape(sizes)
    out = Value(heads.out, sizes.core, "N·H")
    if sizes.attention not in PAIRWISE and not heads.packed:
        tape.hold(out)
    linear(tape, "o_proj", out, sizes.hidden, "D")
    return sum(saved.per_token for saved in tape.cut())


def _recomputed_pairs(heads: Heads, sizes: Sizes) -> int:
    """Bytes per token pair that a recomputed core keeps while its backward runs."""
    tape = Tape(sizes._replace(selective=False))
    query, key, value = (Value(width, sizes.core, "") for width in (heads.query, heads.key, heads.out))
    attended(tape, heads, query, key, value)
    return sum(saved.per_pair for saved in tape.cut())


def _projected(tape: Tape, mixer: Attention, x: Value) -> tuple[Value, Value, Value, Value | None]:
    """Query, key, value as they reach the kernel, and the gate that came with the query."""
    widths = (mixer.query_width, mixer.key_width, mixer.value_width)
    letters = ("N·H", "K·H", "K·H")
    gate = None
    if mixer.fused_qkv:
        fused = linear(tape, "qkv_proj", x, sum(widths), "(N+2K)·H")
        query, key, value = (fused.view(width, letter) for width, letter in zip(widths, letters, strict=True))
    else:
        query_out = (2 * mixer.query_width, "2·N·H") if mixer.output_gate else (mixer.query_width, "N·H")
        keys = () if mixer.shares_kv else ("k_proj",) if mixer.value_is_key else ("k_proj", "v_proj")
        outputs = (query_out, *zip(widths[1:], letters[1:], strict=True))[: 1 + len(keys)]
        made = linears(tape, ("q_proj", *keys), x, outputs)
        query = made[0]
        if mixer.output_gate:
            query, gate = query.view(widths[0], "N·H"), query.view(widths[0], "N·H")
        if mixer.shares_kv:
            key, value = Value(widths[1], x.size, "K·H"), Value(widths[2], x.size, "K·H")
            tape.hold(key)
            tape.hold(value)
        else:
            key, value = made[1], made[-1]
    query, key, value = _head_norms(tape, mixer, query, key, value)
    if mixer.rotary:
        turned = max(query.size, tape.sizes.stream)
        query = query.like(turned)
        key = key if mixer.shares_kv else key.like(turned)
    return query, key, value, gate


def _head_norms(tape: Tape, mixer: Attention, query: Value, key: Value, value: Value) -> tuple[Value, Value, Value]:
    made = [query, key, value]
    for index, norm in enumerate(mixer.qk_norms):
        whole = norm.width == made[index].width
        rows = 1 if whole else mixer.heads if index == 0 else mixer.kv_heads
        made[index] = normed(tape, norm, made[index], rows=rows)
    return made[0], made[1], made[2]


def _latent(tape: Tape, mixer: LatentAttention, x: Value) -> tuple[Value, Value, Value]:
    """The low-rank paths; query and key are joined from two parts, the value is a view of its up-projection."""
    both = mixer.kv_rank + mixer.rope_dim
    if mixer.q_rank is None:
        query, down = linears(tape, ("q_proj", "kv_a_proj"), x, ((mixer.query_width, "N·H"), (both, "rank+rope")))
    else:
        low, down = linears(tape, ("q_a_proj", "kv_a_proj"), x, ((mixer.q_rank, "rank"), (both, "rank+rope")))
        low = normed(tape, Norm(NormKind.RMS, mixer.q_rank), low)
        query = linear(tape, "q_b_proj", low, mixer.query_width, "N·(nope+rope)")
    latent = normed(tape, Norm(NormKind.RMS, mixer.kv_rank), down.view(mixer.kv_rank, "rank"))
    up = linear(tape, "kv_b_proj", latent, mixer.heads * (mixer.nope_dim + mixer.value_dim), "N·(nope+v)")
    size = max(query.size, tape.sizes.stream)
    value = up.view(mixer.out_width, "N·v")
    return Value(mixer.query_width, size, "N·(nope+rope)"), Value(mixer.query_width, size, "N·(nope+rope)"), value
