"""Liquid's LFM2, its mixture, and LFM3: short convolutions and attention in turn. Checked: transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense, Ffn
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import linear
from vramcast.sources.common import grouped_query, rms, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, block_kinds, convolution, sane

CONV = "conv"
SLIDING = "sliding_attention"


@reads("lfm2")
def read_lfm2(config: Config) -> ModelSpec:
    """Attention with norms on query and key at `full_attn_idxs` (everywhere if absent), else a gated convolution."""
    listed = frozenset(config.sizes("full_attn_idxs"))
    everywhere = config.raw("full_attn_idxs") is None
    kinds = block_kinds(
        config, ("layer_types",), (FULL, CONV), lambda index: FULL if everywhere or index in listed else CONV
    )
    ffn = Dense(width=_adjusted_width(config))
    return mixed_decoder(config, kinds, lambda kind: _layer(config, kind, ffn), tied_head=_tied(config))


@reads("lfm2_moe")
def read_lfm2_moe(config: Config) -> ModelSpec:
    """The same, with a mixture in all but the first layers; the kinds of block must be listed."""
    if config.raw("layer_types") is None:
        raise config.wrong(("layer_types",), "a list", None)
    kinds = block_kinds(config, ("layer_types",), (FULL, CONV), lambda _: FULL)
    first = config.count("num_dense_layers", default=2)
    plain = Dense(width=config.size("intermediate_size", default=7168))
    experts = mixture(
        config,
        experts=config.size("num_experts", default=32),
        top_k=config.size("num_experts_per_tok", default=4),
        width=config.size("moe_intermediate_size", default=1792),
    )
    blocks = ((kind, index < first) for index, kind in enumerate(kinds))
    return mixed_decoder(
        config,
        blocks,
        lambda block: _layer(config, block[0], plain if block[1] else experts),
        tied_head=_tied(config),
    )


@reads("lfm3")
def read_lfm3(config: Config) -> ModelSpec:
    """LFM2 with some attention sliding, a gate on each head's output, and norms behind both halves of a block."""
    kinds = block_kinds(config, ("layer_types",), (FULL, SLIDING, CONV), _lfm3_rule)
    sandwich = config.flag("use_sandwich_norm", default=True)
    ffn = Dense(width=config.size("intermediate_size", default=7680))

    def layer(kind: str) -> Layer:
        norms = (rms(config.size("hidden_size")),) * (4 if sandwich else 2)
        mixer = _convolution(config, 7) if kind == CONV else _gated_attention(config, kind)
        return Layer(mixer=mixer, ffn=ffn, norms=norms)

    return mixed_decoder(config, kinds, layer, tied_head=_tied(config))


def _lfm3_rule(index: int) -> str:
    if index % 4 == 2:
        return FULL
    return SLIDING if index and index % 4 == 0 else CONV


def _tied(config: Config) -> bool:
    return config.flag("tie_embedding", "tie_word_embeddings", default=True)


def _adjusted_width(config: Config) -> int:
    """The MLP's width: two thirds of what the config says, times a factor, rounded up, unless it asks for none of that."""
    width = config.size("block_ff_dim", "intermediate_size", default=12288)
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return width
    multiple = config.size("block_multiple_of", default=256)
    factor = config.number("block_ffn_dim_multiplier", default=1.0)
    width = -(-int(factor * int(2 * width / 3)) // multiple) * multiple
    return sane(config, width, "the MLP's width")


def _layer(config: Config, kind: str, ffn: Ffn) -> Layer:
    norm = rms(config.size("hidden_size"))
    return Layer(mixer=_convolution(config, 3) if kind == CONV else _attention(config), ffn=ffn, norms=(norm, norm))


def _attention(config: Config) -> Attention:
    attention = grouped_query(config, kv_heads=8)
    return replace(attention, qk_norms=(rms(attention.head_dim),) * 2)


def _gated_attention(config: Config, kind: str) -> Attention:
    bias = config.flag("attention_bias")
    window = sliding_window(config, 256) if kind == SLIDING else None
    heads = config.size("num_attention_heads")
    gate = (
        linear("g_proj", heads, config.size("hidden_size")) if config.flag("use_attention_gate", default=True) else ()
    )
    attention = grouped_query(config, kv_heads=4, head_dim=128, qkv_bias=bias, out_bias=bias, window=window, extra=gate)
    return replace(attention, qk_norms=(rms(attention.head_dim),) * 2)


def _convolution(config: Config, kernel: int) -> LinearAttention:
    """A gate, a short convolution over each channel, another gate: no state but the convolution's tail."""
    hidden = config.size("hidden_size")
    kernel = config.size("conv_L_cache", default=kernel)
    bias = config.flag("conv_bias")
    parts = (
        *linear("in_proj", 3 * hidden, hidden, bias=bias),
        *convolution(hidden, kernel, bias=bias),
        *linear("out_proj", hidden, hidden, bias=bias),
    )
    return LinearAttention(
        variant=LinearKind.SHORT_CONV,
        heads=1,
        key_dim=1,
        value_dim=hidden,
        conv_width=hidden,
        tail=kernel,
        parts=parts,
    )
