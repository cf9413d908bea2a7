"""Llama with one thing changed. Checked against transformers 5.23; MiniCPM against its published code."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.domain.norm import Norm
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("smollm3")
def read_smollm3(config: Config) -> ModelSpec:
    """Every fourth layer has no rotary embeddings; those layers slide where `use_sliding_window` is set."""
    rotary = _rotary_layers(config)
    window = sliding_window(config) if config.flag("use_sliding_window") else None
    slides = sliding_layers(config, lambda index: window is not None and not rotary[index])
    bias = config.flag("attention_bias")
    ffn = dense(config, bias=config.flag("mlp_bias"))
    norms = _two(config)

    def layer(kind: tuple[bool, bool]) -> Layer:
        turned, slide = kind
        attention = grouped_query(config, kv_heads=4, qkv_bias=bias, out_bias=bias, rotary=turned)
        return Layer(mixer=replace(attention, window=window if slide else None), ffn=ffn, norms=norms)

    return decoder(config, runs_of(zip(rotary, slides, strict=True), layer), tied=True)


@reads("seed_oss")
def read_seed_oss(config: Config) -> ModelSpec:
    """Heads of 128 features, biases on query, key and value but not on the output, dropout set for training."""
    attention = grouped_query(
        config,
        kv_heads=8,
        head_dim=128,
        qkv_bias=config.flag("attention_bias", default=True),
        out_bias=config.flag("attention_out_bias"),
    )
    layer = Layer(mixer=attention, ffn=dense(config, bias=config.flag("mlp_bias")), norms=_two(config))
    dropout = Dropout(
        attention=config.probability("attention_dropout", default=0.1),
        residual=config.probability("residual_dropout", default=0.1),
    )
    return decoder(config, layer, dropout=dropout)


@reads("hunyuan_v1_dense")
def read_hunyuan(config: Config) -> ModelSpec:
    """An RMS norm on each query and key head."""
    return decoder(config, Layer(mixer=_head_normed(config), ffn=dense(config), norms=_two(config)))


@reads("hyperclovax")
def read_hyperclovax(config: Config) -> ModelSpec:
    """Granite with norms after each part as well, unless the config says otherwise."""
    bias = config.flag("attention_bias")
    layer = Layer(
        mixer=grouped_query(config, qkv_bias=bias, out_bias=bias),
        ffn=dense(config, bias=config.flag("mlp_bias")),
        norms=_two(config) * (2 if config.flag("use_post_norm", default=True) else 1),
    )
    return decoder(config, layer)


@reads("helium")
def read_helium(config: Config) -> ModelSpec:
    """
    Heads of 128 features, which have to make up the hidden size.

    Raises:
        InputError: they do not.
    """
    attention = grouped_query(config, kv_heads=20, head_dim=128, qkv_bias=config.flag("attention_bias"))
    hidden = config.size("hidden_size")
    if attention.query_width != hidden:
        raise InputError(f"{config.name}: heads of {attention.head_dim} features do not make a hidden size of {hidden}")
    return decoder(config, Layer(mixer=attention, ffn=dense(config, bias=config.flag("mlp_bias")), norms=_two(config)))


@reads("ernie4_5")
def read_ernie(config: Config) -> ModelSpec:
    """Heads of 128 features, one switch for every bias, a tied head, no dropout."""
    bias = config.flag("use_bias")
    attention = grouped_query(config, kv_heads=2, head_dim=128, qkv_bias=bias, out_bias=bias)
    layer = Layer(mixer=attention, ffn=dense(config, bias=bias), norms=_two(config))
    return decoder(config, layer, tied=True, dropout=Dropout())


@reads("bitnet")
def read_bitnet(config: Config) -> ModelSpec:
    """Squared ReLU, and an RMS norm before the output and the down projection. Counted unpacked."""
    bias = config.flag("attention_bias")
    attention = grouped_query(config, kv_heads=5, qkv_bias=bias, out_bias=bias)
    ffn = dense(config, activation="relu2")
    layer = Layer(
        mixer=replace(attention, extra=rms(config.size("hidden_size")).weights),
        ffn=replace(ffn, extra=rms(ffn.width).weights),
        norms=_two(config),
    )
    return decoder(config, layer)


@reads("minicpm")
def read_minicpm(config: Config) -> ModelSpec:
    """MiniCPM 1 and 2: scaled embeddings and residuals, which weigh nothing, and a tied head."""
    bias = config.flag("attention_bias")
    layer = Layer(mixer=grouped_query(config, qkv_bias=bias, out_bias=bias), ffn=dense(config), norms=_two(config))
    return decoder(config, layer, tied=True, logits_upcast=True)


def _two(config: Config) -> tuple[Norm, ...]:
    return (rms(config.size("hidden_size")),) * 2


def _head_normed(config: Config) -> Attention:
    bias = config.flag("attention_bias")
    attention = grouped_query(config, qkv_bias=bias, out_bias=bias)
    return replace(attention, qk_norms=(rms(attention.head_dim),) * 2)


def _rotary_layers(config: Config) -> tuple[bool, ...]:
    """Which layers turn query and key: as `no_rope_layers` lists them (0: none), else all but every fourth."""
    count = config.size("num_hidden_layers")
    interval = config.size("no_rope_layer_interval", default=4)
    listed = config.sizes("no_rope_layers", default=tuple((index + 1) % interval for index in range(count)))
    if len(listed) < count:
        raise InputError(f"{config.name}: `no_rope_layers` lists {len(listed)} layers, the model has {count}")
    return tuple(bool(item) for item in listed[:count])
