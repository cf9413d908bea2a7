"""Command R and Command R7B / A: parallel blocks. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import (
    decoder,
    dense,
    grouped_query,
    layer_norm,
    runs_of,
    sliding_layers,
    sliding_window,
)
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("cohere")
def read_cohere(config: Config) -> ModelSpec:
    """One scale-only layer norm before both parts, a tied head; Command R+ norms every query and key head by itself."""
    attention = _attention(config)
    if config.flag("use_qk_norm"):
        norms = layer_norm(attention.query_width, bias=False), layer_norm(attention.key_width, bias=False)
        attention = replace(attention, qk_norms=norms)
    return decoder(config, _layer(config, attention), tied=True)


@reads("cohere2")
def read_cohere2(config: Config) -> ModelSpec:
    """Three sliding layers with rotary embeddings to one full layer without positions."""
    window = sliding_window(config, 4096)
    pattern = config.size("sliding_window_pattern", default=4)
    slides = sliding_layers(config, lambda index: (index + 1) % pattern != 0)

    def layer(window: int | None) -> Layer:
        return _layer(config, replace(_attention(config), window=window, rotary=window is not None))

    return decoder(config, runs_of((window if slide else None for slide in slides), layer), tied=True)


def _attention(config: Config) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(config, qkv_bias=bias, out_bias=bias)


def _layer(config: Config, attention: Attention) -> Layer:
    norm = layer_norm(config.size("hidden_size"), bias=False)
    return Layer(mixer=attention, ffn=dense(config), norms=(norm,), parallel=True)
