"""Mixtral, MiniMax-M2 and Phi-3.5-MoE: every layer is a mixture. Checked against transformers 5.23."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, grouped_query, layer_norm, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import local_experts, sparse_decoder, wholly_normed
from vramcast.sources.registry import reads


@reads("mixtral")
def read_mixtral(config: Config) -> ModelSpec:
    """Llama's attention, eight experts of which a token visits two; a window, where set, holds in every layer."""
    mixer = grouped_query(config, kv_heads=8, window=sliding_window(config))
    return sparse_decoder(config, mixer, local_experts(config, experts=8, top_k=2))


@reads("minimax_m2")
def read_minimax_m2(config: Config) -> ModelSpec:
    """Query and key normalised over all heads at once, 256 small experts."""
    mixer = wholly_normed(grouped_query(config, kv_heads=8, head_dim=128))
    return sparse_decoder(config, mixer, local_experts(config, experts=256, top_k=8))


@reads("phimoe")
def read_phimoe(config: Config) -> ModelSpec:
    """Layer norms with bias and, where the config asks for them, biases in attention and head."""
    bias = config.flag("attention_bias")
    mixer = grouped_query(config, kv_heads=8, window=sliding_window(config), qkv_bias=bias, out_bias=bias)
    norm = layer_norm(config.size("hidden_size"))
    layer = Layer(mixer=mixer, ffn=local_experts(config, experts=16, top_k=2), norms=(norm, norm))
    return decoder(config, layer, head_bias=config.flag("lm_head_bias"))
