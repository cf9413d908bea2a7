"""Llama 1–3 and the architectures that are Llama in all but name. Checked against transformers 5.23."""

from vramcast.domain.layer import Dense, Layer, LayerRun
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, rms, spec
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("llama")
def read_llama(config: Config) -> ModelSpec:
    """Pre-norm blocks of grouped-query attention and a gated MLP; biases where the config asks for them."""
    hidden = config.size("hidden_size")
    bias = config.flag("attention_bias")
    layer = Layer(
        mixer=grouped_query(config, qkv_bias=bias, out_bias=bias),
        ffn=Dense(
            width=config.size("intermediate_size"),
            bias=config.flag("mlp_bias"),
            activation=config.text("hidden_act", default="silu"),
        ),
        norms=(rms(hidden), rms(hidden)),
    )
    return spec(
        config,
        layers=(LayerRun(layer, config.size("num_hidden_layers")),),
        tied_head=config.flag("tie_word_embeddings"),
        final_norm=rms(hidden),
    )
