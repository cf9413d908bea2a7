"""Cohere's mixtures. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import dense, grouped_query, layer_norm, rms, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, mixed_decoder, mixture, sparse_layers
from vramcast.sources.registry import reads


@reads("cohere2_moe")
def read_cohere2_moe(config: Config) -> ModelSpec:
    """Attention and feed-forward part read one norm; sliding layers, and a dense prefix, turn query and key."""
    hidden, first = config.size("hidden_size"), config.count("first_k_dense_replace", default=0)
    norm = layer_norm(hidden, bias=False) if config.raw("rms_norm_eps") is None else rms(hidden)
    prefix = config.size("prefix_dense_intermediate_size", default=None)

    def build(kind: tuple[bool, bool]) -> Layer:
        slides, sparse = kind
        plain = gated(config, prefix) if prefix else dense(config)
        ffn = _mixture(config) if sparse else plain
        return Layer(mixer=_attention(config, slides, sparse), ffn=ffn, norms=(norm,), parallel=True)

    sparse = sparse_layers(config, lambda index: index >= first)
    return mixed_decoder(config, zip(_sliding(config, first), sparse, strict=True), build, tied=True)


def _attention(config: Config, slides: bool, sparse: bool) -> Attention:
    bias = config.flag("attention_bias")
    window = sliding_window(config, 4096) if slides else None
    rotary = window is not None or (not sparse and _prefix_pattern(config) == 1)
    return grouped_query(config, head_dim=128, qkv_bias=bias, out_bias=bias, window=window, rotary=rotary)


def _mixture(config: Config) -> MixtureOfExperts:
    width = config.size("intermediate_size")
    return mixture(
        config,
        experts=config.size("num_experts", default=8),
        top_k=config.size("num_experts_per_tok", default=2),
        width=width,
        shared=gated(config, width * config.count("num_shared_experts", default=0)),
    )


def _sliding(config: Config, first: int) -> tuple[bool, ...]:
    prefix, rest = _prefix_pattern(config), config.size("sliding_window_pattern", default=4)
    return sliding_layers(
        config,
        lambda index: (index + 1) % prefix != 0 if index < first else (index - first + 1) % rest != 0,
    )


def _prefix_pattern(config: Config) -> int:
    return config.size("prefix_dense_sliding_window_pattern", default=1)
