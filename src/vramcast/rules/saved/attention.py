"""
An attention layer: projections, rotation, the kernel, the output projection.

Letters: D hidden, N heads, K KV heads, H head dim.
"""

from vramcast.domain.layer import Attention, LatentAttention, Norm, NormKind
from vramcast.domain.run import AttentionKernel
from vramcast.rules.attention_kernel import head_dims
from vramcast.rules.saved.attention_core import Heads, core_backward, core_saved
from vramcast.rules.saved.norms import norm_saved
from vramcast.rules.saved.ops import Saved, Segment, linear_inputs, projecting
from vramcast.rules.sizes import Sizes


def attention_segment(mixer: Attention | LatentAttention, sizes: Sizes, *, masked: bool) -> Segment:
    """
    What an attention layer keeps, and the worst moment of its backward: inside the kernel.

    Formula:  inputs of the projections + query, key, value as the kernel reads them + `core_saved` + input of o_proj
    Source:   transformers 5.23 modeling_llama.py, modeling_deepseek_v3.py; seen with saved-tensor hooks.
    Ignores:  cos and sin (shared by all layers), relative position biases.
    """
    kernel = sizes.attention
    key_dim, value_dim = head_dims(mixer)
    kv_heads = mixer.kv_heads if isinstance(mixer, Attention) else mixer.heads
    softcap = isinstance(mixer, Attention) and mixer.softcap
    heads = Heads(mixer.heads, kv_heads, key_dim, value_dim, masked, softcap)
    inputs = _projected(mixer, sizes, heads) if isinstance(mixer, Attention) else _latent(mixer, sizes)
    everything = core_saved(heads, kernel, sizes)
    core = [saved for saved in everything if not (sizes.selective and saved.core)]
    kept_output = kernel is not AttentionKernel.EAGER
    output = linear_inputs(sizes, ("o_proj",), heads.out, sizes.core, "N·H", held=kept_output)
    gate = _gate(mixer, sizes, heads.out)
    masks = (Saved("residual dropout mask", "D", sizes.hidden),) if sizes.dropout.residual else ()
    backward, pairs = core_backward(heads, kernel, sizes)
    weights = mixer.weights(sizes.hidden)
    writer = [w for w in weights if w.name.startswith("o_proj")]
    stream = sizes.stream * sizes.hidden
    gradient = stream + sizes.core * heads.out
    recomputed = sum(saved.per_pair for saved in everything if saved.core) if sizes.selective else 0
    return Segment(
        name=f"attention ({kernel})",
        saved=(*inputs, *core, *gate, *output, *masks),
        output=gradient,
        inner=gradient + backward,
        inner_name=f"{kernel} attention",
        forward=stream
        + projecting(sizes, "o_proj", heads.out, sizes.core, held=kept_output, norm_fp32=sizes.norms_copy),
        inner_pairs=pairs + recomputed,
        dequantized=writer[0].numel if sizes.quantized else 0,
        output_grads=sum(w.parameters for w in writer),
        parameters=sum(w.parameters for w in weights),
    )


def _projected(mixer: Attention, sizes: Sizes, heads: Heads) -> tuple[Saved, ...]:
    """Inputs of the query, key and value projections, and the three as the kernel reads them."""
    b, core = sizes.branch, sizes.core
    keys, values = (0, 0) if mixer.shares_kv else (mixer.key_width, mixer.value_width)
    names = ("qkv_proj",) if mixer.fused_qkv else ("q_proj", *(("k_proj", "v_proj") if keys else ()))
    saved = list(linear_inputs(sizes, names, sizes.hidden, sizes.stream, "D"))
    for norm in mixer.qk_norms:
        saved.extend(_head_norm(norm, mixer, sizes, keys))
    query_copied, others_copied = (False, False) if sizes.selective else heads.copies(sizes.attention)
    turned = mixer.rotary or bool(mixer.qk_norms)
    if mixer.fused_qkv and core == b and not (others_copied and (query_copied or turned)):
        # whatever is not turned is a view of the fused output, which then stays whole
        saved.append(Saved("fused query, key, value", f"{b}·(N+2K)·H", b * (mixer.query_width + keys + values)))
        if not turned:
            return tuple(saved)
    elif not others_copied:
        saved.append(Saved("value", f"{core}·K·H", core * values))
    if not query_copied:
        saved.append(Saved("query", f"{core}·N·H", core * mixer.query_width))
    if not others_copied:
        saved.append(Saved("key", f"{core}·K·H", core * keys))
    return tuple(saved)


def _head_norm(norm: Norm, mixer: Attention, sizes: Sizes, keys: int) -> tuple[Saved, ...]:
    if norm.width == mixer.query_width or norm.width == keys:
        return norm_saved(norm, sizes, sizes.branch, letter="N·H")
    rows = mixer.heads if norm is mixer.qk_norms[0] else mixer.kv_heads
    return norm_saved(norm, sizes, sizes.branch, rows=rows, letter="H")


def _latent(mixer: LatentAttention, sizes: Sizes) -> tuple[Saved, ...]:
    """The low-rank paths, and query, key and value after the up-projections."""
    b, core, n = sizes.branch, sizes.core, mixer.heads
    first = ("q_proj", "kv_a_proj") if mixer.q_rank is None else ("q_a_proj", "kv_a_proj")
    saved = list(linear_inputs(sizes, first, sizes.hidden, sizes.stream, "D"))
    for rank, name in ((mixer.q_rank, "q_b_proj"), (mixer.kv_rank, "kv_b_proj")):
        if rank is not None:
            saved.extend(norm_saved(Norm(NormKind.RMS, rank), sizes, b, letter="rank"))
            saved.extend(linear_inputs(sizes, (name,), rank, b, "rank"))
    both = n * (mixer.nope_dim + mixer.rope_dim)
    saved.append(Saved("query and key", f"{core}·2·N·(nope+rope)", core * 2 * both))
    value = n * (mixer.nope_dim + mixer.value_dim) if core == b else n * mixer.value_dim
    saved.append(Saved("value, a view of the up-projection", f"{core}·N·(nope+v)", core * value))
    return tuple(saved)


def _gate(mixer: Attention | LatentAttention, sizes: Sizes, width: int) -> tuple[Saved, ...]:
    if not (isinstance(mixer, Attention) and mixer.output_gate):
        return ()
    return (Saved("output gate and gated output", f"{2 * sizes.core}·N·H", 2 * sizes.core * width),)
