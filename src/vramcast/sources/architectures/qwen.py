"""Qwen 1–3 and the text models of Qwen-VL, dense. Checked against transformers 5.23; Qwen 1 against its model cards."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("qwen2")
def read_qwen2(config: Config) -> ModelSpec:
    """Grouped-query attention whose query, key and value have biases; the last layers may slide."""
    return _read_qwen2(config, kv_heads=32, first_sliding=28)


@reads("qwen2_vl_text", "qwen2_5_vl_text")
def read_qwen2_vl_text(config: Config) -> ModelSpec:
    """The language part of Qwen2-VL and Qwen2.5-VL: Qwen 2 with other defaults."""
    return _read_qwen2(config, kv_heads=8, first_sliding=80)


@reads("qwen2_vl", "qwen2_5_vl")
def read_flat_qwen2_vl(config: Config) -> ModelSpec:
    """Qwen2-VL as its checkpoints' files have it: the keys of the language part lie beside the vision's."""
    return replace(read_qwen2_vl_text(config), notes=("the vision part",))


@reads("qwen3")
def read_qwen3(config: Config) -> ModelSpec:
    """Grouped-query attention with heads of 128 features and an RMS norm on each query and key head."""
    return decoder(config, runs_of(_windows(config, 28), lambda window: _qwen3_layer(config, window)))


@reads("qwen3_vl_text")
def read_qwen3_vl_text(config: Config) -> ModelSpec:
    """The language part of Qwen3-VL: Qwen 3 without windows."""
    return decoder(config, _qwen3_layer(config, None))


@reads("qwen")
def read_qwen(config: Config) -> ModelSpec:
    """
    Qwen 1: one matrix with a bias makes query, key and value; `intermediate_size` counts gate and up together.

    Raises:
        InputError: heads of `kv_channels` do not add up to the hidden size, as the model's code demands.
    """
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    width = config.size("kv_channels", default=128)
    if heads * width != hidden:
        raise InputError(f"{config.name}: {heads} heads of {width} features do not make a hidden size of {hidden}")
    bias = not config.flag("no_bias", default=True)
    both = config.size("intermediate_size")
    layer = Layer(
        mixer=Attention(heads=heads, kv_heads=heads, head_dim=width, fused_qkv=True, qkv_bias=True, out_bias=bias),
        ffn=Dense(width=both // 2, bias=bias),
        norms=(rms(hidden),) * 2,
    )
    return decoder(
        config.renamed(max_position_embeddings="seq_length"),
        layer,
        dropout=Dropout(
            embedding=config.probability("emb_dropout_prob"), attention=config.probability("attn_dropout_prob")
        ),
    )


def _read_qwen2(config: Config, *, kv_heads: int, first_sliding: int) -> ModelSpec:
    def layer(window: int | None) -> Layer:
        return Layer(
            mixer=grouped_query(config, kv_heads=kv_heads, qkv_bias=True, window=window),
            ffn=dense(config),
            norms=(rms(config.size("hidden_size")),) * 2,
        )

    return decoder(config, runs_of(_windows(config, first_sliding), layer))


def _qwen3_layer(config: Config, window: int | None) -> Layer:
    bias = config.flag("attention_bias")
    attention = grouped_query(config, kv_heads=32, head_dim=128, qkv_bias=bias, out_bias=bias, window=window)
    return Layer(
        mixer=replace(attention, qk_norms=(rms(attention.head_dim),) * 2),
        ffn=dense(config),
        norms=(rms(config.size("hidden_size")),) * 2,
    )


def _windows(config: Config, first_sliding: int) -> tuple[int | None, ...]:
    """The window of each layer: from layer `max_window_layers` on where `use_sliding_window` is set, else none."""
    window = sliding_window(config, 4096) if config.flag("use_sliding_window") else None
    first = config.count("max_window_layers", default=first_sliding)
    return tuple(window if slides else None for slides in sliding_layers(config, lambda index: index >= first))
