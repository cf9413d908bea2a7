"""Gemma 3n, text. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.architectures.gemma import TANH, sharing_layers
from vramcast.sources.architectures.gemma4 import per_layer_embedding
from vramcast.sources.common import capped, decoder, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("gemma3n_text")
def read_gemma3n(config: Config) -> ModelSpec:
    """
    Four sliding layers to one full, the last ones reusing earlier keys and values, and AltUp's parallel streams.

    Every layer gets an embedding of its own for each token and adds a low-rank detour (LAuReL) to its attention.
    """
    config = config.renamed(hidden_act="hidden_activation")
    hidden, count = config.size("hidden_size"), config.size("num_hidden_layers")
    per_layer = config.size("hidden_size_per_layer_input", default=256)
    streams = config.size("altup_num_inputs", default=4)
    slides = sliding_layers(config, lambda index: (index + 1) % 5 != 0)
    shares = sharing_layers(config, slides, default=15)
    extra = _layer_extra(config, hidden, streams, per_layer)

    def layer(kind: tuple[bool, bool, int]) -> Layer:
        slide, shared, width = kind
        return Layer(
            mixer=_attention(config, slide=slide, shared=shared),
            ffn=Dense(width=width, activation=config.text("hidden_act", default=TANH)),
            norms=(rms(hidden),) * 5,
            streams=streams,
            extra=extra,
        )

    return decoder(
        config,
        runs_of(zip(slides, shares, _widths(config, count), strict=True), layer),
        tied=True,
        logits_capped=capped(config, "final_logit_softcapping", default=True),
        extra=(
            *per_layer_embedding(config, hidden, count * per_layer, per_layer),
            *linear("altup_projections", hidden, hidden, count=streams - 1),
            *linear("altup_unembed_projections", hidden, hidden, count=streams - 1),
        ),
        notes=("what AltUp and LAuReL keep for the backward pass beside the streams",),
    )


def _attention(config: Config, *, slide: bool, shared: bool) -> Attention:
    bias = config.flag("attention_bias")
    plain = grouped_query(config, kv_heads=2, head_dim=256, qkv_bias=bias, out_bias=bias, shares_kv=shared)
    norm, value_norm = rms(plain.head_dim), Norm(NormKind.RMS, plain.head_dim, affine=False)
    return replace(
        plain,
        window=sliding_window(config, 512) if slide else None,
        qk_norms=(norm,) if shared else (norm, norm, value_norm),
    )


def _widths(config: Config, count: int) -> tuple[int, ...]:
    """The width of every layer's feed-forward part: one for all, or a list."""
    if not isinstance(config.raw("intermediate_size"), list):
        return (config.size("intermediate_size"),) * count
    widths = config.sizes("intermediate_size")
    if len(widths) != count or 0 in widths:
        raise InputError(f"{config.name}: `intermediate_size` must list a width for each of {count} layers")
    return widths


def _layer_extra(config: Config, hidden: int, streams: int, per_layer: int) -> tuple[Weight, ...]:
    """AltUp's router and coefficients, the low-rank detour, the per-layer input."""
    rank = config.size("laurel_rank", default=64)
    return (
        Weight("correct_output_scale", (hidden,), WeightKind.OTHER),
        *linear("correction_coefs", streams, streams),
        *linear("prediction_coefs", streams**2, streams),
        *linear("modality_router", streams, hidden),
        Weight("router_norm", (hidden,), WeightKind.NORM),
        *linear("linear_left", rank, hidden),
        *linear("linear_right", hidden, rank),
        Weight("post_laurel_norm", (hidden,), WeightKind.NORM),
        *linear("per_layer_input_gate", per_layer, hidden),
        *linear("per_layer_projection", hidden, per_layer),
    )
