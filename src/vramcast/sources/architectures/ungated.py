"""Llama with a plain feed-forward part instead of a gated one. Checked against transformers 5.23."""

from collections.abc import Callable
from dataclasses import replace

from vramcast.domain.layer import Dense, Layer, Norm
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind
from vramcast.sources.common import decoder, dense, grouped_query, layer_norm, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("arcee")
def read_arcee(config: Config) -> ModelSpec:
    """Squared ReLU; biases where the config asks for them."""
    return _read_squared_relu(config, rms)


@reads("nemotron")
def read_nemotron(config: Config) -> ModelSpec:
    """Squared ReLU behind layer norms with biases (Nemotron-4, Minitron)."""
    return _read_squared_relu(config, layer_norm)


@reads("apertus")
def read_apertus(config: Config) -> ModelSpec:
    """xIELU, an activation with two learned numbers, and an RMS norm on each query and key head."""
    bias = config.flag("attention_bias")
    attention = grouped_query(config, qkv_bias=bias, out_bias=bias)
    ffn = dense(config, activation="xielu", gated=False)
    layer = Layer(
        mixer=replace(attention, qk_norms=(rms(attention.head_dim),) * 2),
        ffn=replace(ffn, extra=_XIELU) if ffn.activation == "xielu" else ffn,
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer)


_XIELU = (Weight("act_fn.alpha_p", (1,), WeightKind.OTHER), Weight("act_fn.alpha_n", (1,), WeightKind.OTHER))


def _read_squared_relu(config: Config, norm: Callable[[int], Norm]) -> ModelSpec:
    bias = config.flag("attention_bias")
    ffn: Dense = dense(config, activation="relu2", gated=False, bias=config.flag("mlp_bias"))
    layer = Layer(
        mixer=grouped_query(config, qkv_bias=bias, out_bias=bias),
        ffn=ffn,
        norms=(norm(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer)
