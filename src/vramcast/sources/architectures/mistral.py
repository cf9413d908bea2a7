"""Mistral and Ministral: Llama with sliding windows. Checked against transformers 5.23."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("mistral")
def read_mistral(config: Config) -> ModelSpec:
    """Every layer slides, over 4,096 tokens where the config does not say; null switches the window off."""
    return decoder(config, _layer(config, sliding_window(config, 4096), head_dim=None))


@reads("ministral3")
def read_ministral3(config: Config) -> ModelSpec:
    """Heads of 128 features and no window, unless the config says otherwise."""
    return decoder(config, _layer(config, sliding_window(config), head_dim=128))


@reads("ministral")
def read_ministral(config: Config) -> ModelSpec:
    """A mix of sliding and full layers as `layer_types` lists them; without the list every layer slides."""
    window = sliding_window(config, 4096)
    windows = (window if slides else None for slides in sliding_layers(config, lambda _: True))
    return decoder(config, runs_of(windows, lambda window: _layer(config, window, head_dim=None)))


def _layer(config: Config, window: int | None, head_dim: int | None) -> Layer:
    return Layer(
        mixer=grouped_query(config, kv_heads=8, head_dim=head_dim, window=window),
        ffn=dense(config),
        norms=(rms(config.size("hidden_size")),) * 2,
    )
