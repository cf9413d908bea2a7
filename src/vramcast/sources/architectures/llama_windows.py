"""Llama with one full layer to three sliding ones. Checked against transformers 5.23."""

from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("cwm")
def read_cwm(config: Config) -> ModelSpec:
    """Code World Model: windows of 8,192 tokens, heads of 128 features, no attention bias."""
    window = sliding_window(config, 8192)
    ffn, norms = dense(config, bias=config.flag("mlp_bias")), _two(config)

    def layer(slides: bool) -> Layer:
        kept = window if slides else None
        return Layer(mixer=grouped_query(config, kv_heads=8, head_dim=128, window=kept), ffn=ffn, norms=norms)

    return decoder(config, runs_of(sliding_layers(config, _not_every_fourth), layer))


@reads("granite_swa")
def read_granite_swa(config: Config) -> ModelSpec:
    """Granite with windows of 128 tokens and a sink for each head; a layer whose theta is 0 does not rotate."""
    window = sliding_window(config, 128)
    bias = config.flag("attention_bias")
    ffn, norms = dense(config, bias=config.flag("mlp_bias")), _two(config)

    def layer(kind: tuple[bool, bool]) -> Layer:
        slides, rotary = kind
        attention = grouped_query(
            config,
            kv_heads=4,
            qkv_bias=bias,
            out_bias=bias,
            window=window if slides else None,
            rotary=rotary,
            sinks=True,
        )
        return Layer(mixer=attention, ffn=ffn, norms=norms)

    slides = sliding_layers(config, _not_every_fourth)
    return decoder(config, runs_of(zip(slides, _rotary_layers(config), strict=True), layer), tied=True)


def _not_every_fourth(index: int) -> bool:
    return index % 4 != 0


def _two(config: Config) -> tuple[Norm, ...]:
    return (rms(config.size("hidden_size")),) * 2


def _rotary_layers(config: Config) -> tuple[bool, ...]:
    count = config.size("num_hidden_layers")
    thetas = config.raw("layer_rope_theta")
    if thetas is None:
        return (True,) * count
    if not isinstance(thetas, list) or len(thetas) != count:
        raise InputError(f"{config.name}: `layer_rope_theta` must list a number for each of {count} layers")
    return tuple(bool(theta) for theta in thetas)
