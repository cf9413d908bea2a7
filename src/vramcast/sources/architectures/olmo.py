"""OLMo 1–3, dense. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("olmo")
def read_olmo(config: Config) -> ModelSpec:
    """Layer norms without parameters."""
    norm = Norm(NormKind.LAYER, config.size("hidden_size"), affine=False)
    return decoder(config, Layer(mixer=_attention(config), ffn=dense(config), norms=(norm, norm)))


@reads("olmo2")
def read_olmo2(config: Config) -> ModelSpec:
    """Norms after each part, not before, and an RMS norm over the whole query and key."""
    return decoder(config, _post_normed(config, None))


@reads("olmo3")
def read_olmo3(config: Config) -> ModelSpec:
    """OLMo 2 with three sliding layers to one full."""
    window = sliding_window(config, 4096)
    slides = sliding_layers(config, lambda index: (index + 1) % 4 != 0)
    windows = (window if slide else None for slide in slides)
    return decoder(config, runs_of(windows, lambda window: _post_normed(config, window)))


def _attention(config: Config) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(config, qkv_bias=bias, out_bias=bias)


def _post_normed(config: Config, window: int | None) -> Layer:
    plain = _attention(config)
    attention = replace(plain, window=window, qk_norms=(rms(plain.query_width), rms(plain.key_width)))
    return Layer(mixer=attention, ffn=dense(config), norms=(rms(config.size("hidden_size")),) * 2)
