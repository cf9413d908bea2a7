"""Granite's mixtures: plain, with a shared MLP, with sliding windows and sinks. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, local_experts, sparse_decoder, windowed
from vramcast.sources.registry import reads


@reads("granitemoe")
def read_granite_moe(config: Config) -> ModelSpec:
    """Llama's attention and a mixture in every layer."""
    return sparse_decoder(config, _attention(config), local_experts(config, experts=8, top_k=2))


@reads("granitemoeshared")
def read_granite_moe_shared(config: Config) -> ModelSpec:
    """The same beside an MLP that runs for every token, unless its size is 0."""
    return sparse_decoder(config, _attention(config), _with_shared(config))


@reads("granitemoe_swa")
def read_granite_moe_swa(config: Config) -> ModelSpec:
    """The same with attention sinks, and a window in three layers of four."""
    slides = sliding_layers(config, lambda index: index % 4 != 0)
    mixers = windowed(_attention(config, sinks=True), slides, sliding_window(config, 128))
    return sparse_decoder(config, mixers, _with_shared(config))


def _attention(config: Config, *, sinks: bool = False) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(config, qkv_bias=bias, out_bias=bias, sinks=sinks)


def _with_shared(config: Config) -> MixtureOfExperts:
    shared = gated(config, config.count("shared_intermediate_size", default=0), fused_gate_up=True)
    return local_experts(config, experts=8, top_k=2, shared=shared)
