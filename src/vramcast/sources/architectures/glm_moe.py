"""
Grouped-query attention with DeepSeek's mixtures. Checked against transformers 5.23.

GLM-4.5 and its vision model's text part, dots.llm1, Solar Open, Hunyuan 3 and K-EXAONE.
"""

from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import (
    after_first,
    deepseek_mixture,
    gated,
    head_normed,
    small_experts,
    sparse_decoder,
    sparse_layers,
    windowed,
)
from vramcast.sources.registry import reads


@reads("glm4_moe")
def read_glm4_moe(config: Config) -> ModelSpec:
    """Biases on query, key and value alone, and norms on query and key, where the config asks for them."""
    mixer = grouped_query(config, kv_heads=8, qkv_bias=config.flag("attention_bias"))
    if config.flag("use_qk_norm"):
        mixer = head_normed(mixer)
    return sparse_decoder(config, mixer, deepseek_mixture(config), sparse_layers(config, after_first(config, 1)))


@reads("glm4v_moe_text")
def read_glm4v_moe(config: Config) -> ModelSpec:
    """The same without query and key norms, and with biases by default."""
    mixer = grouped_query(config, kv_heads=8, qkv_bias=config.flag("attention_bias", default=True))
    return sparse_decoder(config, mixer, deepseek_mixture(config), sparse_layers(config, after_first(config, 1)))


@reads("solar_open")
def read_solar_open(config: Config) -> ModelSpec:
    """A mixture in every layer."""
    mixer = grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=config.flag("attention_bias"))
    return sparse_decoder(config, mixer, deepseek_mixture(config))


@reads("dots1")
def read_dots1(config: Config) -> ModelSpec:
    """Query and key normalised by head; a window in the layers from `max_window_layers` on."""
    bias, window = config.flag("attention_bias"), sliding_window(config, 4096)
    first = config.count("max_window_layers", default=62)
    slides = sliding_layers(config, lambda index: window is not None and index >= first)
    plain = head_normed(grouped_query(config, kv_heads=32, qkv_bias=bias, out_bias=bias))
    sparse = sparse_layers(config, after_first(config, 0))
    return sparse_decoder(config, windowed(plain, slides, window), deepseek_mixture(config), sparse)


@reads("hy_v3")
def read_hunyuan3(config: Config) -> ModelSpec:
    """Query and key normalised by head, one dense layer, MLP biases where the config asks for them."""
    bias, mlp_bias = config.flag("attention_bias"), config.flag("mlp_bias")
    mixer = head_normed(grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=bias, out_bias=bias))
    width = config.size("moe_intermediate_size") * config.count("num_shared_experts", default=1)
    ffn = small_experts(config, experts=192, top_k=8, shared=gated(config, width, bias=mlp_bias))
    return sparse_decoder(config, mixer, ffn, sparse_layers(config, lambda index: index > 0), mlp_bias=mlp_bias)


@reads("exaone_moe")
def read_exaone_moe(config: Config) -> ModelSpec:
    """Query and key normalised by head; every `sliding_window_pattern`-th layer is full and does not turn them."""
    window = sliding_window(config, 4096)
    slides = sliding_layers(
        config,
        lambda index: window is not None and (index + 1) % config.size("sliding_window_pattern", default=4) != 0,
    )
    plain = head_normed(grouped_query(config, kv_heads=32))
    mixers = windowed(plain, slides, window, full_rotary=window is None)
    width = config.size("moe_intermediate_size") * config.count("num_shared_experts", default=1)
    ffn = small_experts(config, experts=64, top_k=8, shared=gated(config, width))
    return sparse_decoder(config, mixers, ffn, sparse_layers(config, after_first(config, 1)))
