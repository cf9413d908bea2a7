"""Granite's mixtures: plain, with a shared MLP, with sliding windows and sinks. Checked against transformers 5.23."""

from vramcast.domain.layer import Attention, Dense, Layer, MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, grouped_query, rms, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, mixed_decoder, mixture
from vramcast.sources.registry import reads


@reads("granitemoe")
def read_granite_moe(config: Config) -> ModelSpec:
    """Llama's attention and a mixture in every layer."""
    return decoder(config, _layer(config, _attention(config), None))


@reads("granitemoeshared")
def read_granite_moe_shared(config: Config) -> ModelSpec:
    """The same beside an MLP that runs for every token, unless its size is 0."""
    return decoder(config, _layer(config, _attention(config), _shared(config)))


@reads("granitemoe_swa")
def read_granite_moe_swa(config: Config) -> ModelSpec:
    """The same with attention sinks, and a window in three layers of four."""
    window = sliding_window(config, 128)
    return mixed_decoder(
        config,
        sliding_layers(config, lambda index: index % 4 != 0),
        lambda slides: _layer(
            config, _attention(config, window=window if slides else None, sinks=True), _shared(config)
        ),
    )


def _attention(config: Config, *, window: int | None = None, sinks: bool = False) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(config, qkv_bias=bias, out_bias=bias, window=window, sinks=sinks)


def _shared(config: Config) -> Dense | None:
    return gated(config, config.count("shared_intermediate_size", default=0), fused_gate_up=True)


def _layer(config: Config, mixer: Attention, shared: Dense | None) -> Layer:
    norm = rms(config.size("hidden_size"))
    return Layer(mixer=mixer, ffn=_mixture(config, shared), norms=(norm, norm))


def _mixture(config: Config, shared: Dense | None) -> MixtureOfExperts:
    return mixture(
        config,
        experts=config.size("num_local_experts", default=8),
        top_k=config.size("num_experts_per_tok", default=2),
        width=config.size("intermediate_size"),
        shared=shared,
    )
