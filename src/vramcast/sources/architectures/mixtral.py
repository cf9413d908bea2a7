"""Mixtral, MiniMax-M2 and Phi-3.5-MoE: every layer is a mixture. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.layer import Attention, Layer, MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, grouped_query, layer_norm, rms, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import further_tokens, mixture
from vramcast.sources.registry import reads


@reads("mixtral")
def read_mixtral(config: Config) -> ModelSpec:
    """Llama's attention, eight experts of which a token visits two; a window, where set, holds in every layer."""
    mixer = grouped_query(config, kv_heads=8, window=sliding_window(config))
    return _decoder(config, mixer, _local_experts(config, 8, 2))


@reads("minimax_m2")
def read_minimax_m2(config: Config) -> ModelSpec:
    """Query and key normalised over all heads at once, 256 small experts."""
    plain = grouped_query(config, kv_heads=8, head_dim=128)
    mixer = replace(plain, qk_norms=(rms(plain.query_width), rms(plain.key_width)))
    return _decoder(config, mixer, _local_experts(config, 256, 8))


@reads("phimoe")
def read_phimoe(config: Config) -> ModelSpec:
    """Layer norms with bias and, where the config asks for them, biases in attention and head."""
    bias = config.flag("attention_bias")
    mixer = grouped_query(config, kv_heads=8, window=sliding_window(config), qkv_bias=bias, out_bias=bias)
    norm = layer_norm(config.size("hidden_size"))
    layer = Layer(mixer=mixer, ffn=_local_experts(config, 16, 2), norms=(norm, norm))
    return decoder(config, layer, head_bias=config.flag("lm_head_bias"))


def _local_experts(config: Config, experts: int, top_k: int) -> MixtureOfExperts:
    return mixture(
        config,
        experts=config.size("num_local_experts", "num_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=top_k),
        width=config.size("intermediate_size"),
    )


def _decoder(config: Config, mixer: Attention, ffn: MixtureOfExperts) -> ModelSpec:
    norm = rms(config.size("hidden_size"))
    return decoder(config, Layer(mixer=mixer, ffn=ffn, norms=(norm, norm)), notes=further_tokens(config))
