"""Gemma 4, text, dense and mixed. Checked against transformers 5.23."""

from typing import NamedTuple

from vramcast.domain.attention import Attention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.feed_forward import Dense, Ffn, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.architectures.gemma import TANH, kept_window, sharing_layers
from vramcast.sources.common import capped, decoder, even_groups, grouped_query, rms, runs_of, sliding_layers
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


class _Kind(NamedTuple):
    """What sets one layer of the mix apart from another."""

    slides: bool
    shares_kv: bool
    head_dim: int
    kv_heads: int


@reads("gemma4_text")
def read_gemma4(config: Config) -> ModelSpec:
    """
    Five sliding layers to one full, which has wider heads and may use its keys as values.

    Every layer gets an embedding of its own for each token; the last layers may reuse earlier keys and values; a
    mixture of experts may run beside the dense part.
    """
    absent = 0 if config.has("hidden_size_per_layer_input") else 256
    return _read_gemma4(config, window=512, per_layer=config.count("hidden_size_per_layer_input", default=absent))


@reads("gemma4_unified_text")
def read_gemma4_unified(config: Config) -> ModelSpec:
    """Gemma 4 without the per-layer embeddings and without experts."""
    return _read_gemma4(config, window=1024, per_layer=0)


def _read_gemma4(config: Config, *, window: int, per_layer: int) -> ModelSpec:
    config = config.renamed(hidden_act="hidden_activation")
    hidden, count = config.size("hidden_size"), config.size("num_hidden_layers")
    kept = kept_window(config, window, halved=config.raw("use_bidirectional_attention") == "all")
    extra, norms = _per_layer_weights(hidden, per_layer), 5 if per_layer else 4
    mixes = config.flag("enable_moe_block")

    def layer(kind: _Kind) -> Layer:
        return Layer(
            mixer=_attention(config, kind, kept),
            ffn=_ffn(config, kind, mixes=mixes),
            norms=(rms(hidden),) * (norms + 3 if mixes else norms),
            extra=extra,
        )

    return decoder(
        config,
        runs_of(_kinds(config), layer),
        tied=True,
        logits_capped=capped(config, "final_logit_softcapping", default=False),
        extra=per_layer_embedding(config, hidden, count * per_layer, per_layer) if per_layer else (),
    )


def per_layer_embedding(config: Config, hidden: int, width: int, per_layer: int) -> tuple[Weight, ...]:
    """The token table that serves every layer, and the projection and norm that mix the hidden state in."""
    rows = config.size("vocab_size_per_layer_input", default=262_144)
    return (
        Weight("embed_tokens_per_layer", (rows, width), WeightKind.EMBEDDING),
        *linear("per_layer_model_projection", width, hidden),
        Weight("per_layer_projection_norm", (per_layer,), WeightKind.NORM),
    )


def _per_layer_weights(hidden: int, per_layer: int) -> tuple[Weight, ...]:
    if not per_layer:
        return ()
    return (*linear("per_layer_input_gate", per_layer, hidden), *linear("per_layer_projection", hidden, per_layer))


def _kinds(config: Config) -> tuple[_Kind, ...]:
    slides = sliding_layers(config, lambda index: (index + 1) % 6 != 0)
    slides = (*slides[:-1], False)  # the last layer is always full
    shares = sharing_layers(config, slides, default=0)
    plain = grouped_query(config, kv_heads=4, head_dim=256)
    listed = config.part("per_layer_config")
    kinds = []
    for index, slide in enumerate(slides):
        own = _overrides(config, slide=slide) if listed is None else _listed_overrides(listed, index)
        sizes = {"head_dim": plain.head_dim, "kv_heads": plain.kv_heads} | own
        kinds.append(_Kind(slides=slide, shares_kv=shares[index], **sizes))
    return tuple(kinds)


def _overrides(config: Config, *, slide: bool) -> dict[str, int]:
    """Full layers have heads of `global_head_dim` and, where keys are values, a number of KV heads of their own."""
    if slide:
        return {}
    own = {"head_dim": config.size("global_head_dim", default=512)}
    heads = config.size("num_global_key_value_heads", default=None)
    return own | {"kv_heads": heads} if heads and config.flag("attention_k_eq_v") else own


def _listed_overrides(listed: Config, index: int) -> dict[str, int]:
    own = listed.part(str(index))
    if own is None:
        return {}
    known = {"head_dim": "head_dim", "num_key_value_heads": "kv_heads"}
    unknown = own.keys() - known.keys()
    if unknown:
        raise UnsupportedError(f"{own.name}: `per_layer_config` sets `{min(unknown)[:40]}` for a layer")
    return {ours: own.size(theirs) for theirs, ours in known.items() if own.raw(theirs) is not None}


def _attention(config: Config, kind: _Kind, window: int | None) -> Attention:
    """Query, key and value are all normed by head; the value's norm has no scale."""
    bias = config.flag("attention_bias")
    norm = rms(kind.head_dim)
    value_norm = Norm(NormKind.RMS, kind.head_dim, affine=False)
    heads = config.size("num_attention_heads")
    return Attention(
        heads=heads,
        kv_heads=even_groups(config, heads, kind.kv_heads),
        head_dim=kind.head_dim,
        window=window if kind.slides else None,
        qkv_bias=bias,
        out_bias=bias,
        qk_norms=(norm,) if kind.shares_kv else (norm, norm, value_norm),
        shares_kv=kind.shares_kv,
        value_is_key=config.flag("attention_k_eq_v") and not kind.slides,
    )


def _ffn(config: Config, kind: _Kind, *, mixes: bool) -> Ffn:
    doubled = kind.shares_kv and config.flag("use_double_wide_mlp")
    activation = config.text("hidden_act", default=TANH)
    width = config.size("intermediate_size") * (2 if doubled else 1)
    plain = Dense(width=width, activation=activation)
    if not mixes:
        return plain
    experts = config.size("num_experts")
    return MixtureOfExperts(
        experts=experts,
        top_k=config.size("top_k_experts"),
        width=config.size("moe_intermediate_size"),
        shared=plain,
        activation=activation,
        router_linear=True,
        extra=(
            Weight("router.scale", (config.size("hidden_size"),), WeightKind.OTHER),
            Weight("router.per_expert_scale", (experts,), WeightKind.OTHER),
        ),
    )
