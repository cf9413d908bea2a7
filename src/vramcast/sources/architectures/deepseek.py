"""
Latent attention as DeepSeek V2 has it, with mixtures or without. Checked against transformers 5.23.

DeepSeek V2 and V3, Kimi K2, Mistral 4, GLM-4.7-Flash, A.X K1; Youtu and MiniCPM3 are dense.
"""

from vramcast.domain.attention import LatentAttention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, dense, hidden_over_heads, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import (
    after_first,
    deepseek_mixture,
    latent_attention,
    mixed_decoder,
    sparse_decoder,
    sparse_layers,
)
from vramcast.sources.registry import reads


@reads("deepseek_v2")
def read_deepseek_v2(config: Config) -> ModelSpec:
    """Two shared experts, biases in every MLP where the config asks for them; no dense layers by default."""
    bias = config.flag("mlp_bias")
    ffn = deepseek_mixture(config, shared=2, shared_bias=bias)
    sparse = sparse_layers(config, after_first(config, 0))
    return sparse_decoder(config, latent_attention(config), ffn, sparse, mlp_bias=bias)


@reads("deepseek_v3", "kimi_k2")
def read_deepseek_v3(config: Config) -> ModelSpec:
    """One shared expert, three dense layers first; the router's correction bias is a buffer, not a parameter."""
    sparse = sparse_layers(config, after_first(config, 3))
    return sparse_decoder(config, latent_attention(config), deepseek_mixture(config), sparse)


@reads("mistral4")
def read_mistral4(config: Config) -> ModelSpec:
    """DeepSeek V3 in all but the routing; no dense layers by default."""
    sparse = sparse_layers(config, after_first(config, 0))
    return sparse_decoder(config, latent_attention(config), deepseek_mixture(config), sparse)


@reads("glm4_moe_lite")
def read_glm4_moe_lite(config: Config) -> ModelSpec:
    """DeepSeek V3 with one dense layer, whatever `first_k_dense_replace` says."""
    sparse = sparse_layers(config, lambda index: index > 0)
    return sparse_decoder(config, latent_attention(config), deepseek_mixture(config), sparse)


@reads("axk1")
def read_axk1(config: Config) -> ModelSpec:
    """DeepSeek V3 with a norm after each mixture, which may stand in every `moe_layer_freq`-th layer only."""
    late, step = after_first(config, 1), config.size("moe_layer_freq", default=1)
    sparse = sparse_layers(config, lambda index: late(index) and index % step == 0)
    norm, mixer = rms(config.size("hidden_size")), latent_attention(config)
    mixed = Layer(mixer=mixer, ffn=deepseek_mixture(config), norms=(norm, norm, norm))
    return mixed_decoder(config, sparse, lambda is_sparse: mixed if is_sparse else _layer(config, mixer))


@reads("youtu")
def read_youtu(config: Config) -> ModelSpec:
    """Latent attention and a gated MLP; the head is tied by default."""
    return decoder(config, _layer(config, latent_attention(config)), tied=True)


@reads("minicpm3")
def read_minicpm3(config: Config) -> ModelSpec:
    """The same with a value as wide as hidden / heads by default, and MLP biases where asked for."""
    value = config.size("v_head_dim", default=None) or hidden_over_heads(config)
    layer = _layer(config, latent_attention(config, value_dim=value), mlp_bias=config.flag("mlp_bias"))
    return decoder(config, layer, tied=True)


def _layer(config: Config, mixer: LatentAttention, *, mlp_bias: bool = False) -> Layer:
    norm = rms(config.size("hidden_size"))
    return Layer(mixer=mixer, ffn=dense(config, bias=mlp_bias), norms=(norm, norm))
