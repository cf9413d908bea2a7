"""Kimi Linear and Ling 2.5: Kimi delta attention and latent attention, with mixtures. Checked: transformers 5.23."""

from collections.abc import Callable

from vramcast.domain.attention import LatentAttention
from vramcast.domain.errors import InputError
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import Weight, linear
from vramcast.sources.config import Config
from vramcast.sources.moe_common import after_first, gated, mixture, sparse_decoder, sparse_layers
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, bare, block_count, block_kinds, convolution, scale


@reads("kimi_linear")
def read_kimi_linear(config: Config) -> ModelSpec:
    """Latent attention without positions where the checkpoint's lists say so, else delta attention."""
    kinds = block_kinds(config, ("layer_types",), (RECURRENT, FULL), _kimi_rule(config))
    latent = _latent(config, q_rank=config.size("q_lora_rank", default=None))
    return _model(config, kinds, latent, _kimi_delta(config), experts=256, first_dense=1)


@reads("bailing_hybrid")
def read_bailing_hybrid(config: Config) -> ModelSpec:
    """The same in groups of `layer_group_size`, with gates of full rank, and one on each head of attention."""
    size = config.size("layer_group_size", default=6)
    kinds = block_kinds(
        config, ("layer_types",), (RECURRENT, FULL), lambda index: RECURRENT if (index + 1) % size else FULL
    )
    gate = linear("g_proj", config.size("num_attention_heads"), config.size("hidden_size"))
    latent = _latent(config, q_rank=None, extra=gate)
    return _model(config, kinds, latent, _bailing_delta(config), experts=512, first_dense=2)


def _model(
    config: Config,
    kinds: tuple[str, ...],
    latent: LatentAttention,
    delta: LinearAttention,
    *,
    experts: int,
    first_dense: int,
) -> ModelSpec:
    """The head is never tied; `experts` and `first_dense` are the family's defaults."""
    width = config.size("moe_intermediate_size")
    ffn = mixture(
        config,
        experts=config.size("num_local_experts", "num_experts", default=experts),
        top_k=config.size("num_experts_per_tok", "num_experts_per_token", default=8),
        width=width,
        shared=gated(config, width * config.count("n_shared_experts", "num_shared_experts", default=1)),
    )
    sparse = sparse_layers(config, after_first(config, first_dense))
    mixers = tuple(latent if kind == FULL else delta for kind in kinds)
    return sparse_decoder(config, mixers, ffn, sparse, tied_head=False)


def _kimi_rule(config: Config) -> Callable[[int], str]:
    table = config.part("linear_attn_config")
    if table is None or table.raw("full_attn_layers") is None or table.raw("kda_layers") is None:
        return lambda index: FULL if index and index % 4 == 0 else RECURRENT
    full, delta = frozenset(table.sizes("full_attn_layers")), frozenset(table.sizes("kda_layers"))
    if full | delta != frozenset(range(1, block_count(config) + 1)) or full & delta:
        raise InputError(f"{config.name}: `linear_attn_config` must name each layer once, counting from 1")
    return lambda index: FULL if index + 1 in full else RECURRENT


def _latent(config: Config, *, q_rank: int | None, extra: tuple[Weight, ...] = ()) -> LatentAttention:
    return LatentAttention(
        heads=config.size("num_attention_heads"),
        kv_rank=config.size("kv_lora_rank", default=512),
        q_rank=q_rank,
        nope_dim=config.size("qk_nope_head_dim", default=128),
        rope_dim=config.size("qk_rope_head_dim", default=64),
        value_dim=config.size("v_head_dim", default=128),
        bias=config.flag("attention_bias"),
        extra=extra,
    )


def _kimi_delta(config: Config) -> LinearAttention:
    """Decay and output gate each come through a low rank of one head's width."""
    table = config.part("linear_attn_config") or Config({}, config.name)
    hidden = config.size("hidden_size")
    heads: int = table.size("num_heads", default=config.size("linear_num_heads", default=32))
    head_dim: int = table.size("head_dim", default=config.size("linear_head_dim", default=128))
    kernel: int = table.size("short_conv_kernel_size", default=config.size("linear_conv_kernel_dim", default=4))
    width = heads * head_dim
    gates = (
        *linear("f_a_proj", head_dim, hidden),
        *linear("f_b_proj", width, head_dim),
        *linear("g_a_proj", head_dim, hidden),
        *linear("g_b_proj", width, head_dim),
    )
    return _delta(LinearKind.KIMI_DELTA, hidden, heads, head_dim, kernel, gates)


def _bailing_delta(config: Config) -> LinearAttention:
    """`head_dim` is the delta net's in a published file; in one that transformers wrote it is the rotary width."""
    hidden = config.size("hidden_size")
    heads = config.size("linear_num_heads", "num_attention_heads")
    head_dim = config.size("linear_head_dim", "head_dim", default=128)
    gates = (*linear("f_proj", heads * head_dim, hidden), *linear("g_proj", heads * head_dim, hidden))
    kernel = config.size("linear_conv_kernel_dim", "short_conv_kernel_size", default=4)
    return _delta(LinearKind.BAILING_DELTA, hidden, heads, head_dim, kernel, gates)


def _delta(
    variant: LinearKind, hidden: int, heads: int, head_dim: int, kernel: int, gates: tuple[Weight, ...]
) -> LinearAttention:
    width = heads * head_dim
    parts = (
        *(weight for name in ("q_proj", "k_proj", "v_proj") for weight in linear(name, width, hidden)),
        *convolution(3 * width, kernel, bias=False),
        *gates,
        *linear("b_proj", heads, hidden),
        bare("dt_bias", width),
        bare("A_log", heads),
        scale("o_norm", head_dim),
        *linear("o_proj", hidden, width),
    )
    return LinearAttention(
        variant=variant,
        heads=heads,
        key_dim=head_dim,
        value_dim=head_dim,
        conv_width=3 * width,
        tail=kernel,
        parts=parts,
    )
