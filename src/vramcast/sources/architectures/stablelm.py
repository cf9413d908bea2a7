"""StableLM 2, StarCoder 2 and Persimmon: layer norms around rotary attention. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import (
    decoder,
    dense,
    grouped_query,
    hidden_over_heads,
    layer_norm,
    multi_head,
    sliding_window,
)
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("stablelm")
def read_stablelm(config: Config) -> ModelSpec:
    """A gated MLP; parallel blocks behind one norm where the config asks, and then a norm of each head its own."""
    hidden = config.size("hidden_size")
    parallel = config.flag("use_parallel_residual")
    layer = Layer(
        mixer=_stablelm_attention(config),
        ffn=dense(config),
        norms=(layer_norm(hidden),) * (1 if parallel else 2),
        parallel=parallel,
    )
    return decoder(config, layer, dropout=_dropout(config))


@reads("starcoder2")
def read_starcoder2(config: Config) -> ModelSpec:
    """A plain MLP, biases unless the config says otherwise, a tied head; every layer slides where a window is set."""
    bias = config.flag("use_bias", default=True)
    layer = Layer(
        mixer=grouped_query(config, kv_heads=2, qkv_bias=bias, out_bias=bias, window=sliding_window(config)),
        ffn=dense(config, activation="gelu_pytorch_tanh", gated=False, bias=bias),
        norms=(layer_norm(config.size("hidden_size")),) * 2,
    )
    dropout = Dropout(
        embedding=config.probability("embedding_dropout"),
        attention=config.probability("attention_dropout"),
        residual=config.probability("residual_dropout"),
    )
    return decoder(config, layer, tied=True, dropout=dropout)


@reads("persimmon")
def read_persimmon(config: Config) -> ModelSpec:
    """One matrix for query, key and value, a squared-ReLU MLP, biases everywhere, a norm on query and key heads."""
    norms = (layer_norm(hidden_over_heads(config)),) * 2 if config.flag("qk_layernorm", default=True) else ()
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, qkv_bias=True, out_bias=True, qk_norms=norms),
        ffn=dense(config, activation="relu2", gated=False, bias=True),
        norms=(layer_norm(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer, dropout=_dropout(config))


def _stablelm_attention(config: Config) -> Attention:
    """Every head has a norm of its own, so together they weigh as much as one over all heads."""
    plain = grouped_query(config, kv_heads=32, qkv_bias=config.flag("use_qkv_bias"))
    if not config.flag("qk_layernorm"):
        return plain
    return replace(plain, qk_norms=(layer_norm(plain.query_width, bias=False), layer_norm(plain.key_width, bias=False)))


def _dropout(config: Config) -> Dropout:
    return Dropout(attention=config.probability("attention_dropout"), residual=config.probability("hidden_dropout"))
