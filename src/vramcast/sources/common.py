"""Pieces that many architectures' readers share."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer, LayerRun
from vramcast.domain.model import Dropout, ModelSpec, run_length
from vramcast.domain.norm import Norm, NormKind
from vramcast.sources.config import Config

_DTYPES = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float64": "fp64",
    "float8_e4m3fn": "fp8-e4m3",
}

Kind = TypeVar("Kind", bound=Hashable)


def rms(width: int) -> Norm:
    """An RMS norm over `width` features."""
    return Norm(NormKind.RMS, width)


def layer_norm(width: int, *, bias: bool = True) -> Norm:
    """A layer norm over `width` features."""
    return Norm(NormKind.LAYER, width, bias=bias)


def checkpoint_dtype(config: Config) -> str:
    """The checkpoint's number format (`dtype`, or `torch_dtype` as older files call it); bf16 if not stated."""
    return _DTYPES.get(config.text("dtype", "torch_dtype", default="bfloat16").removeprefix("torch."), "bf16")


def hidden_over_heads(config: Config) -> int:
    """Features of one head where heads share the hidden size. Raises InputError if they do not divide it."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if hidden % heads:
        raise InputError(f"{config.name}: {heads} heads do not divide a hidden size of {hidden}")
    return hidden // heads


def even_groups(config: Config, heads: int, kv_heads: int) -> int:
    """The KV heads, if they divide the heads. Raises InputError if they do not."""
    if heads % kv_heads:
        raise InputError(f"{config.name}: {kv_heads} key/value heads do not divide {heads} heads")
    return kv_heads


def multi_head(config: Config, **options: Any) -> Attention:
    """Attention with as many KV heads as heads, which share the hidden size: families that know no other."""
    heads = config.size("num_attention_heads")
    return Attention(heads=heads, kv_heads=heads, head_dim=hidden_over_heads(config), **options)


def grouped_query(
    config: Config, *, kv_heads: int | None = None, head_dim: int | None = None, **options: Any
) -> Attention:
    """
    Attention from the usual keys: heads, KV heads, head dim.

    `kv_heads` and `head_dim` are the family's defaults for a config without the key. Without those, and where the
    config says null: as many KV heads as heads, and a head dim of hidden / heads.

    Raises:
        InputError: KV heads do not divide the heads, or heads the hidden size where no head dim is given.
    """
    heads = config.size("num_attention_heads")
    groups = even_groups(config, heads, _size_or(config, "num_key_value_heads", kv_heads) or heads)
    width = _size_or(config, "head_dim", head_dim) or hidden_over_heads(config)
    return Attention(heads=heads, kv_heads=groups, head_dim=width, **options)


def dense(config: Config, *, activation: str = "silu", **options: Any) -> Dense:
    """A feed-forward part from the usual keys; `activation` is the family's default."""
    word = config.text("hidden_act", default=activation)
    return Dense(width=config.size("intermediate_size"), activation=word, **options)


def sliding_window(config: Config, default: int | None = None) -> int | None:
    """Tokens that a sliding layer keeps: `default` for a config without the key, none where it says null."""
    return _size_or(config, "sliding_window", default)


def sliding_layers(config: Config, rule: Callable[[int], bool]) -> tuple[bool, ...]:
    """
    Which layers slide: as `layer_types` lists them, else by the family's rule on a layer's index.

    Raises:
        InputError: the list has another length than the model, or names a kind that is neither full nor sliding.
    """
    count = config.size("num_hidden_layers")
    if config.raw("layer_types") is None:
        return tuple(rule(index) for index in range(count))
    kinds = config.words("layer_types")
    if len(kinds) != count:
        raise InputError(f"{config.name}: `layer_types` lists {len(kinds)} layers, `num_hidden_layers` says {count}")
    for kind in kinds:
        if kind not in {"full_attention", "sliding_attention"}:
            raise config.wrong(("layer_types",), "full_attention or sliding_attention everywhere", kind)
    return tuple(kind == "sliding_attention" for kind in kinds)


def capped(config: Config, key: str, *, default: bool) -> bool:
    """Whether a soft cap is set: null says no, an absent key says `default`."""
    config.number(key)  # refuses what is not a number
    return config.raw(key) is not None if config.has(key) else default


def runs_of(kinds: Iterable[Kind], build: Callable[[Kind], Layer]) -> tuple[LayerRun, ...]:
    """The layers of a mix, in order, run-length encoded; each kind is built once."""
    order = tuple(kinds)
    built = {kind: build(kind) for kind in dict.fromkeys(order)}
    return run_length(built[kind] for kind in order)


def spec(config: Config, **options: Any) -> ModelSpec:
    """A ModelSpec from the usual keys; `options` overrides or adds fields."""
    fields: dict[str, Any] = {
        "name": config.name,
        "model_type": config.model_type,
        "hidden_size": config.size("hidden_size"),
        "vocab_size": config.size("vocab_size"),
        "max_positions": config.size("max_position_embeddings", default=None),
        "dtype": checkpoint_dtype(config),
        "dropout": Dropout(attention=config.probability("attention_dropout")),
    }
    return ModelSpec(**(fields | options))


def decoder(config: Config, layers: Layer | tuple[LayerRun, ...], *, tied: bool = False, **options: Any) -> ModelSpec:
    """
    A ModelSpec of `layers`, or of one layer `num_hidden_layers` times, with a final norm like the layers' own.

    `tied` is the family's default for `tie_word_embeddings`; `options` overrides or adds fields.
    """
    if isinstance(layers, Layer):
        layers = (LayerRun(layers, config.size("num_hidden_layers")),)
    fields: dict[str, Any] = {
        "layers": layers,
        "tied_head": config.flag("tie_word_embeddings", default=tied),
        "final_norm": options.get("final_norm") or layers[0].layer.norms[0],
    }
    return spec(config, **(fields | options))


def _size_or(config: Config, key: str, default: int | None) -> int | None:
    return config.size(key, default=None) if config.has(key) else default
