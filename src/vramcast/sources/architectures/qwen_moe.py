"""Qwen2-MoE, Qwen3-MoE and the text model of Qwen3-VL-MoE. Checked against transformers 5.23."""

from typing import Any

from vramcast.domain.layer import Layer, MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import dense, grouped_query, rms, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, mixed_decoder, mixture
from vramcast.sources.registry import reads


@reads("qwen2_moe")
def read_qwen2_moe(config: Config) -> ModelSpec:
    """Biases on query, key and value; one shared expert with a gate of its own; a window in every other layer if on."""
    norm = rms(config.size("hidden_size"))
    window = sliding_window(config, 4096) if config.flag("use_sliding_window") else None
    last = config.count("max_window_layers", default=28)
    slides = sliding_layers(config, lambda index: window is not None and index % 2 == 0 and index < last)
    shared = gated(config, config.count("shared_expert_intermediate_size", default=5632))

    def build(kind: tuple[bool, bool]) -> Layer:
        sliding, sparse = kind
        return Layer(
            mixer=grouped_query(
                config,
                kv_heads=16,
                qkv_bias=config.flag("qkv_bias", default=True),
                window=window if sliding else None,
            ),
            ffn=small_experts(config, experts=60, top_k=4, shared=shared, shared_gate=True)
            if sparse
            else dense(config),
            norms=(norm, norm),
        )

    return mixed_decoder(config, zip(slides, stepped_layers(config), strict=True), build)


@reads("qwen3_moe")
def read_qwen3_moe(config: Config) -> ModelSpec:
    """Query and key normalised by head, no shared expert; a window, where switched on, holds in every layer."""
    window = sliding_window(config, 4096) if config.flag("use_sliding_window") else None
    return _read_qwen3(config, window=window, kv_heads=4, experts=128, top_k=8)


@reads("qwen3_vl_moe_text")
def read_qwen3_vl_moe(config: Config) -> ModelSpec:
    """The same with other defaults and no window."""
    return _read_qwen3(config, window=None, kv_heads=16, experts=60, top_k=4)


def _read_qwen3(config: Config, *, window: int | None, kv_heads: int, experts: int, top_k: int) -> ModelSpec:
    norm, bias = rms(config.size("hidden_size")), config.flag("attention_bias")
    plain = grouped_query(config, kv_heads=kv_heads)
    head_norm = rms(plain.head_dim)

    def build(sparse: bool) -> Layer:
        return Layer(
            mixer=grouped_query(
                config,
                kv_heads=kv_heads,
                qkv_bias=bias,
                out_bias=bias,
                qk_norms=(head_norm, head_norm),
                window=window,
            ),
            ffn=small_experts(config, experts=experts, top_k=top_k) if sparse else dense(config),
            norms=(norm, norm),
        )

    return mixed_decoder(config, stepped_layers(config), build)


def small_experts(config: Config, *, experts: int, top_k: int, **options: Any) -> MixtureOfExperts:
    """A mixture from Qwen's keys; `experts` and `top_k` are the family's defaults."""
    return mixture(
        config,
        experts=config.size("num_experts", "num_local_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=top_k),
        width=config.size("moe_intermediate_size"),
        **options,
    )


def stepped_layers(config: Config, dense_layers: tuple[int, ...] = ()) -> tuple[bool, ...]:
    """Which layers are sparse: every `decoder_sparse_step`-th but those of `mlp_only_layers`, none without experts."""
    step = config.size("decoder_sparse_step", default=1)
    only_dense = frozenset(config.sizes("mlp_only_layers", default=dense_layers))
    none = config.raw("num_experts", "num_local_experts") == 0
    count = config.size("num_hidden_layers")
    return tuple(not none and (index + 1) % step == 0 and index not in only_dense for index in range(count))
