"""The text model of dots.note. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import LatentAttention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.architectures.deepseek_sparse import with_indexer
from vramcast.sources.config import Config
from vramcast.sources.moe_common import (
    after_first,
    deepseek_mixture,
    flags_by_layer,
    latent_attention,
    sparse_decoder,
    sparse_layers,
    words_by_layer,
)
from vramcast.sources.registry import reads

_FULL, _INDEXED, _SLIDING = "full_attention", "indexed_attention", "sliding_attention"
_SLIDING_SIZES = {
    "num_attention_heads": 64,
    "q_lora_rank": 1024,
    "kv_lora_rank": 1024,
    "qk_nope_head_dim": 192,
    "v_head_dim": 128,
}


@reads("dots3_note_text")
def read_dots_note(config: Config) -> ModelSpec:
    """
    Latent attention of two sizes: thinned out by an indexer, or with a window; a gate for each head of its output.

    Raises:
        UnsupportedError: sizes are spelled out layer by layer, as transformers saves them.
    """
    if config.has("per_layer_config"):
        raise UnsupportedError(f"{config.name}: no closed form for `per_layer_config`", "use the published config.json")
    full = _gated(config, latent_attention(config))
    window = config.size("sliding_window", "sliding_window_size", default=512)
    own = {
        _FULL: full,
        _INDEXED: with_indexer(config, full, heads=64, kept=False),
        _SLIDING: _gated(config, latent_attention(_sliding_sizes(config), window=window)),
    }
    mixers = tuple(own[word] for word in _words(config))
    shared = config.size("moe_shared_expert_intermediate_size", "shared_experts_intermediate_size", default=1536)
    return sparse_decoder(config, mixers, deepseek_mixture(config, shared_width=shared), _sparse_layers(config))


def _gated(config: Config, mixer: LatentAttention) -> LatentAttention:
    norm = Weight("k_rope_norm", (mixer.rope_dim,), WeightKind.NORM)
    return replace(mixer, extra=(norm, *linear("g_proj", mixer.heads, config.size("hidden_size"))))


def _sliding_sizes(config: Config) -> Config:
    sizes = {key: config.size(f"swa_{key}", default=default) for key, default in _SLIDING_SIZES.items()}
    rest = max(config.size("swa_head_dim", default=256) - sizes["qk_nope_head_dim"], 1)
    sizes["qk_rope_head_dim"] = config.size("swa_qk_rope_head_dim", default=rest)
    return Config({**sizes, "attention_bias": config.raw("attention_bias")}, config.name)


def _words(config: Config) -> tuple[str, ...]:
    """The kind of each layer; `use_dsa` decides what a layer without window is, however it is listed."""
    whole = _INDEXED if config.flag("use_dsa", default=True) else _FULL
    slides = config.flag("use_sliding_window", default=True)
    words = words_by_layer(
        config,
        "layer_types",
        (_FULL, _INDEXED, _SLIDING),
        lambda index: whole if not slides or index < 2 or index % 4 == 1 else _SLIDING,
    )
    return tuple(_SLIDING if word == _SLIDING else whole for word in words)


def _sparse_layers(config: Config) -> tuple[bool, ...]:
    late = after_first(config, 1)
    if isinstance(config.raw("moe_layer_freq"), list):
        mixes = flags_by_layer(config, "moe_layer_freq", lambda _: True)
        return sparse_layers(config, lambda index: late(index) and mixes[index])
    step = config.size("moe_layer_freq", default=1)
    return sparse_layers(config, lambda index: late(index) and index % step == 0)
