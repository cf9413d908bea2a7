"""Llama with a plain feed-forward part instead of a gated one. Checked against transformers 5.23."""

from collections.abc import Callable
from dataclasses import replace

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.weights import Weight, WeightKind
from vramcast.sources.common import capped, decoder, dense, grouped_query, layer_norm, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("arcee")
def read_arcee(config: Config) -> ModelSpec:
    """Squared ReLU; biases where the config asks for them."""
    return _read_squared_relu(config, rms, biased=False)


@reads("nemotron")
def read_nemotron(config: Config) -> ModelSpec:
    """Squared ReLU behind layer norms with biases (Nemotron-4, Minitron)."""
    return _read_squared_relu(config, layer_norm, biased=False)


@reads("jais2")
def read_jais2(config: Config) -> ModelSpec:
    """Squared ReLU behind layer norms, with biases unless the config says otherwise."""
    return _read_squared_relu(config, layer_norm, biased=True)


@reads("nanochat")
def read_nanochat(config: Config) -> ModelSpec:
    """Squared ReLU, RMS norms without parameters, one of them behind the embedding, capped logits."""
    hidden = Norm(NormKind.RMS, config.size("hidden_size"), affine=False)
    bias = config.flag("attention_bias")
    attention = grouped_query(config, qkv_bias=bias, out_bias=bias)
    head = Norm(NormKind.RMS, attention.head_dim, affine=False)
    layer = Layer(
        mixer=replace(attention, qk_norms=(head, head)),
        ffn=dense(config, activation="relu2", gated=False),
        norms=(hidden, hidden),
    )
    return decoder(
        config,
        layer,
        embedding_norm=hidden,
        logits_capped=capped(config, "final_logit_softcapping", default=True),
    )


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


def _read_squared_relu(config: Config, norm: Callable[[int], Norm], *, biased: bool) -> ModelSpec:
    """`biased` is the family's default for both bias switches."""
    bias = config.flag("attention_bias", default=biased)
    ffn = dense(config, activation="relu2", gated=False, bias=config.flag("mlp_bias", default=biased))
    layer = Layer(
        mixer=grouped_query(config, qkv_bias=bias, out_bias=bias),
        ffn=ffn,
        norms=(norm(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer)
