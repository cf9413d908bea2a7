"""Mixtures whose attention output passes a gate: AFMoE, Laguna and Beam. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import grouped_query, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, head_normed, small_experts, sparse_decoder, sparse_layers, windowed
from vramcast.sources.registry import reads


@reads("afmoe")
def read_afmoe(config: Config) -> ModelSpec:
    """Four norms a layer; full layers do not turn query and key; the router is a plain linear beside a correction."""
    bias, hidden = config.flag("attention_bias"), config.size("hidden_size")
    every = config.size("global_attn_every_n_layers", default=4)
    slides = sliding_layers(config, lambda index: (index + 1) % every != 0)
    plain = head_normed(grouped_query(config, head_dim=128, qkv_bias=bias, out_bias=bias))
    plain = replace(plain, extra=linear("gate_proj", plain.query_width, hidden))
    first = config.count("num_dense_layers", default=1)
    width = config.size("moe_intermediate_size") * config.count("num_shared_experts", default=2)
    ffn = small_experts(config, experts=64, top_k=6, shared=gated(config, width), router_linear=True)
    return sparse_decoder(
        config,
        windowed(plain, slides, sliding_window(config, 1024), full_rotary=False),
        replace(ffn, extra=correction(ffn.experts)),
        sparse_layers(config, lambda index: index >= first),
        norms=4,
    )


@reads("laguna")
def read_laguna(config: Config) -> ModelSpec:
    """Each layer may have its own number of heads; the gate has one output a head, or one a feature."""
    depth, heads = config.size("num_hidden_layers"), config.size("num_attention_heads")
    listed = config.sizes("num_attention_heads_per_layer", default=(heads,) * depth)
    if len(listed) != depth:
        raise InputError(f"{config.name}: `num_attention_heads_per_layer` lists {len(listed)} of {depth} layers")
    window, slides = sliding_window(config, 512), sliding_layers(config, lambda _: False)
    mixers = tuple(
        replace(_laguna_attention(config, count), window=window if slide else None)
        for count, slide in zip(listed, slides, strict=True)
    )
    shared = gated(config, config.count("shared_expert_intermediate_size", default=512))
    ffn = small_experts(config, experts=256, top_k=8, shared=shared)
    sparse = sparse_layers(config, lambda index: index > 0)
    return sparse_decoder(config, mixers, replace(ffn, extra=correction(ffn.experts)), sparse)


@reads("beam")
def read_beam(config: Config) -> ModelSpec:
    """Four norms a layer, the gate has a bias a head; logits are capped in FP32, full layers do not turn by default."""
    bias, hidden = config.flag("attention_bias"), config.size("hidden_size")
    last = config.size("num_hidden_layers") - 1
    slides = sliding_layers(config, lambda index: (index + 1) % 6 != 0 and index != last)
    plain = head_normed(grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=bias, out_bias=bias))
    gate_bias = Weight("gate_bias", (plain.heads,), WeightKind.BIAS)
    plain = replace(plain, extra=(*linear("gate_proj", plain.query_width, hidden), gate_bias))
    turned = config.part("rope_parameters")
    caps = not config.has("final_logit_softcapping") or config.number("final_logit_softcapping") > 0
    return sparse_decoder(
        config,
        windowed(
            plain,
            slides,
            sliding_window(config, 512),
            full_rotary=turned is not None and turned.raw("full_attention") is not None,
        ),
        small_experts(config, experts=256, top_k=8),
        sparse_layers(config, lambda index: index >= 3),
        norms=4,
        logits_upcast=caps,
        logits_capped=caps,
    )


def correction(experts: int) -> tuple[Weight, ...]:
    """The router's correction bias where transformers holds it as a parameter that is never trained."""
    return (Weight("router.correction", (experts,), WeightKind.OTHER),)


def _laguna_attention(config: Config, heads: int) -> Attention:
    bias = config.flag("attention_bias")
    usual = head_normed(grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=bias, out_bias=bias))
    if not heads or heads % usual.kv_heads:
        raise InputError(f"{config.name}: {usual.kv_heads} key/value heads do not divide {heads} heads")
    gates = heads if config.raw("gating") in (None, True, "per-head") else heads * usual.head_dim
    return replace(usual, heads=heads, extra=linear("g_proj", gates, config.size("hidden_size")))
