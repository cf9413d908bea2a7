"""
Qwen's mixtures and relatives. Checked against transformers 5.23.

Qwen2-MoE, Qwen3-MoE and the text model of Qwen3-VL-MoE; Flint, Kolibri and Mellum.
"""

from collections.abc import Sequence
from typing import Any

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Mixer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, head_normed, small_experts, sparse_decoder, sparse_layers, windowed
from vramcast.sources.registry import reads


@reads("qwen2_moe")
def read_qwen2_moe(config: Config) -> ModelSpec:
    """Biases on query, key and value; one shared expert with a gate of its own; a window in every other layer if on."""
    window = _switched_window(config)
    last = config.count("max_window_layers", default=28)
    slides = sliding_layers(config, lambda index: window is not None and index % 2 == 0 and index < last)
    plain = grouped_query(config, kv_heads=16, qkv_bias=config.flag("qkv_bias", default=True))
    mixers = windowed(plain, slides, window)
    return _stepped(config, mixers, experts=60, top_k=4, shared=_shared(config, 5632), shared_gate=True)


@reads("qwen3_moe")
def read_qwen3_moe(config: Config) -> ModelSpec:
    """Query and key normalised by head, no shared expert; a window, where switched on, holds in every layer."""
    mixer = _attention(config, kv_heads=4, window=_switched_window(config))
    return _stepped(config, mixer, experts=128, top_k=8)


@reads("qwen3_vl_moe_text")
def read_qwen3_vl_moe(config: Config) -> ModelSpec:
    """The same with other defaults and no window."""
    return _stepped(config, _attention(config, kv_heads=16), experts=60, top_k=4)


@reads("flint")
def read_flint(config: Config) -> ModelSpec:
    """Sinks and a shared expert without gate; only the layers with a window turn query and key."""
    last = config.size("num_hidden_layers") - 1
    slides = sliding_layers(config, lambda index: index > 1 and index % 4 != 1 and index != last)
    plain = _attention(config, kv_heads=4, head_dim=128, sinks=True)
    mixers = windowed(plain, slides, sliding_window(config, 513), full_rotary=False)
    return _stepped(config, mixers, dense_layers=(0, 1), experts=256, top_k=6, shared=_shared(config, 1024))


@reads("kolibri1")
def read_kolibri(config: Config) -> ModelSpec:
    """Four norms a layer, no dense layers, a shared expert without gate, a window in four layers of five."""
    window = sliding_window(config, 513)
    plain = head_normed(grouped_query(config, kv_heads=4, head_dim=128))
    slides = sliding_layers(config, lambda index: (index + 1) % 5 != 0)
    mixers = windowed(plain, slides, window, full_rotary=window is None)
    ffn = small_experts(config, experts=384, top_k=6, shared=_shared(config, 512))
    return sparse_decoder(config, mixers, ffn, norms=4)


@reads("mellum")
def read_mellum(config: Config) -> ModelSpec:
    """Qwen3-MoE whose windows and dense layers are listed; none of either by default."""
    plain = _attention(config, kv_heads=4, head_dim=128)
    mixers = windowed(plain, sliding_layers(config, lambda _: False), sliding_window(config, 1024))
    ffn = small_experts(config, experts=64, top_k=8)
    return sparse_decoder(config, mixers, ffn, sparse_layers(config, lambda _: True))


def _switched_window(config: Config) -> int | None:
    return sliding_window(config, 4096) if config.flag("use_sliding_window") else None


def _attention(config: Config, **options: Any) -> Attention:
    bias = config.flag("attention_bias")
    return head_normed(grouped_query(config, qkv_bias=bias, out_bias=bias, **options))


def _shared(config: Config, default: int) -> Dense | None:
    return gated(config, config.count("shared_expert_intermediate_size", default=default))


def _stepped(
    config: Config, mixers: Mixer | Sequence[Mixer], *, dense_layers: tuple[int, ...] = (), **experts: Any
) -> ModelSpec:
    """Mixtures in every `decoder_sparse_step`-th layer but those of `mlp_only_layers`; none without experts."""
    step, depth = config.size("decoder_sparse_step", default=1), config.size("num_hidden_layers")
    only_dense = frozenset(config.sizes("mlp_only_layers", default=dense_layers))
    if config.raw("num_experts", "num_local_experts") == 0:
        only_dense = frozenset(range(depth))
    sparse = tuple((index + 1) % step == 0 and index not in only_dense for index in range(depth))
    ffn = small_experts(config, **experts) if any(sparse) else None
    return sparse_decoder(config, mixers, ffn, sparse)
