"""Mamba 2 and attention in turn or side by side: Bamba, Granite 4, Falcon-H1. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import StateSpace
from vramcast.sources.common import decoder, dense, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, block_count, block_kinds, head_width, mamba2, sane


@reads("bamba")
def read_bamba(config: Config) -> ModelSpec:
    """Attention at `attn_layer_indices`, else Mamba 2; an MLP behind either."""
    attends = frozenset(config.sizes("attn_layer_indices"))
    ffn = dense(config, bias=config.flag("mlp_bias"))
    norm = rms(config.size("hidden_size"))

    def layer(attention: bool) -> Layer:
        mixer = _attention(config, kv_heads=8) if attention else _mamba(config, _expanded(config))
        return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))

    return mixed_decoder(config, (index in attends for index in range(block_count(config))), layer)


@reads("granitemoehybrid")
def read_granite_hybrid(config: Config) -> ModelSpec:
    """Mamba 2 or attention, behind either a mixture beside an MLP, or the MLP alone where there are no experts."""
    norm = rms(config.size("hidden_size"))
    rotary = config.text("position_embedding_type", default="nope") == "rope"
    kinds = block_kinds(config, ("layer_types", "layers_block_type"), (RECURRENT, FULL), lambda _: RECURRENT)

    def layer(kind: str) -> Layer:
        mixer = _attention(config, rotary=rotary) if kind == FULL else _mamba(config, _expanded(config))
        return Layer(mixer=mixer, ffn=_granite_ffn(config), norms=(norm, norm))

    return mixed_decoder(config, kinds, layer)


@reads("falcon_h1")
def read_falcon_h1(config: Config) -> ModelSpec:
    """Mamba 2 and attention read the same input, and their outputs are added; then an MLP."""
    given: int | None = config.size("mamba_d_ssm", default=None) if config.has("mamba_d_ssm") else 1024
    inner = given or _expanded(config)
    norm = rms(config.size("hidden_size"))
    layer = Layer(
        mixer=_mamba(
            config,
            inner,
            out_bias=config.flag("projectors_bias"),
            gated_norm=config.flag("mamba_rms_norm"),
        ),
        beside=_attention(config, kv_heads=8),
        ffn=dense(config, bias=config.flag("mlp_bias")),
        norms=(norm, norm),
    )
    return decoder(config, layer)


def _attention(config: Config, *, kv_heads: int | None = None, rotary: bool = True) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(config, kv_heads=kv_heads, qkv_bias=bias, out_bias=bias, rotary=rotary)


def _expanded(config: Config) -> int:
    return sane(config, config.size("mamba_expand", default=2) * config.size("hidden_size"), "the inner width")


def _mamba(config: Config, inner: int, *, out_bias: bool | None = None, gated_norm: bool = True) -> StateSpace:
    heads = config.size("mamba_n_heads", default=128)
    bias = config.flag("mamba_proj_bias")
    return mamba2(
        config,
        heads=heads,
        head_dim=head_width(config, "mamba_d_head", inner, heads),
        state=config.size("mamba_d_state", default=256),
        groups=config.size("mamba_n_groups", default=1),
        kernel=config.size("mamba_d_conv", default=4),
        bias=bias,
        conv_bias=config.flag("mamba_conv_bias", default=True),
        out_bias=bias if out_bias is None else out_bias,
        gated_norm=gated_norm,
    )


def _granite_ffn(config: Config) -> Dense | MixtureOfExperts:
    shared = Dense(
        width=config.size("shared_intermediate_size", default=1024),
        fused_gate_up=True,
        activation=config.text("hidden_act", default="silu"),
    )
    experts = config.count("num_local_experts", default=8)
    if not experts:
        return shared
    visited = config.size("num_experts_per_tok", default=2)
    return mixture(
        config, experts=experts, top_k=visited, width=config.size("intermediate_size", default=11008), shared=shared
    )
