"""Pieces that the readers of mixtures of experts and of latent attention share."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, dense, rms, runs_of
from vramcast.sources.config import Config

_FURTHER_TOKENS = ("num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules")

Kind = TypeVar("Kind", bound=Hashable)


def latent_attention(config: Config, **options: Any) -> LatentAttention:
    """
    Latent attention from DeepSeek's keys, all of which must be there; a null `q_lora_rank` leaves the query whole.

    Raises:
        InputError: a key is missing, or `q_lora_rank` is not even null.
    """
    has_path = not config.has("q_lora_rank") or config.raw("q_lora_rank") is not None
    fields: dict[str, Any] = {
        "heads": config.size("num_attention_heads"),
        "kv_rank": config.size("kv_lora_rank"),
        "q_rank": config.size("q_lora_rank") if has_path else None,
        "nope_dim": config.size("qk_nope_head_dim"),
        "rope_dim": config.size("qk_rope_head_dim"),
        "bias": config.flag("attention_bias"),
    }
    if "value_dim" not in options:
        fields["value_dim"] = config.size("v_head_dim")
    return LatentAttention(**(fields | options))


def gated(config: Config, width: int, **options: Any) -> Dense | None:
    """A gated feed-forward part of `width` with the config's activation, such as a shared expert; None of width 0."""
    return Dense(width=width, activation=_activation(config), **options) if width else None


def mixture(config: Config, *, experts: int, top_k: int, width: int, **options: Any) -> MixtureOfExperts:
    """
    A mixture with the config's activation.

    Raises:
        InputError: a token would visit more experts than there are.
    """
    if top_k > experts:
        raise InputError(f"{config.name}: a token cannot visit {top_k} of {experts} experts")
    return MixtureOfExperts(experts=experts, top_k=top_k, width=width, activation=_activation(config), **options)


def local_experts(config: Config, *, experts: int, top_k: int, **options: Any) -> MixtureOfExperts:
    """A mixture from Mixtral's keys; `experts` and `top_k` are the family's defaults."""
    return mixture(
        config,
        experts=config.size("num_local_experts", "num_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=top_k),
        width=config.size("intermediate_size"),
        **options,
    )


def small_experts(config: Config, *, experts: int, top_k: int, **options: Any) -> MixtureOfExperts:
    """A mixture from Qwen's keys, where experts have a size of their own; defaults as above."""
    return mixture(
        config,
        experts=config.size("num_experts", "num_local_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=top_k),
        width=config.size("moe_intermediate_size"),
        **options,
    )


def deepseek_mixture(
    config: Config, *, shared: int = 1, shared_width: int | None = None, shared_bias: bool = False
) -> MixtureOfExperts:
    """
    A mixture from DeepSeek's keys.

    `shared` experts, as one wide one, run for every token (the family's default); each is as wide as the others unless
    `shared_width` says otherwise.
    """
    width = config.size("moe_intermediate_size")
    every_token = (shared_width or width) * config.count("n_shared_experts", "num_shared_experts", default=shared)
    return mixture(
        config,
        experts=config.size("n_routed_experts", "num_local_experts", "num_experts"),
        top_k=config.size("num_experts_per_tok"),
        width=width,
        shared=gated(config, every_token, bias=shared_bias),
    )


def words_by_layer(
    config: Config, key: str, allowed: Iterable[str], rule: Callable[[int], str], *, cut: bool = False
) -> tuple[str, ...]:
    """
    One word for each layer: as the list under `key` says, else by the family's rule on a layer's index.

    `cut` takes the first words of a longer list, which then also names layers that predict further tokens.

    Raises:
        InputError: the list has another length than the model, or holds a word that is not allowed.
    """
    count = config.size("num_hidden_layers")
    if config.raw(key) is None:
        return tuple(rule(index) for index in range(count))
    words = config.words(key)[: count if cut else None]
    if len(words) != count:
        raise InputError(f"{config.name}: `{key}` lists {len(words)} layers, the model has {count}")
    known = tuple(allowed)
    for word in words:
        if word not in known:
            raise config.wrong((key,), f"{' or '.join(known)} everywhere", word)
    return words


def flags_by_layer(config: Config, key: str, rule: Callable[[int], bool]) -> tuple[bool, ...]:
    """One yes or no for each layer: as the list of 0 and 1 under `key` says, else by the family's rule on an index."""
    count, listed = config.size("num_hidden_layers"), config.sizes(key)
    if not listed:
        return tuple(rule(index) for index in range(count))
    if len(listed) != count:
        raise InputError(f"{config.name}: `{key}` lists {len(listed)} layers, the model has {count}")
    return tuple(flag != 0 for flag in listed)


def sparse_layers(config: Config, rule: Callable[[int], bool]) -> tuple[bool, ...]:
    """Which layers hold a mixture: as `mlp_layer_types` says, else by the family's rule on a layer's index."""
    words = words_by_layer(
        config, "mlp_layer_types", ("dense", "sparse"), lambda index: "sparse" if rule(index) else "dense"
    )
    return tuple(word == "sparse" for word in words)


def after_first(config: Config, default: int) -> Callable[[int], bool]:
    """The rule by which the first `first_k_dense_replace` layers are dense; `default` is the family's."""
    first = config.count("first_k_dense_replace", default=default)
    return lambda index: index >= first


def windowed(
    mixer: Attention, slides: Iterable[bool], window: int | None, *, full_rotary: bool = True
) -> tuple[Attention, ...]:
    """`mixer` for each layer, with `window` in those that slide; the others turn query and key if `full_rotary`."""
    sliding, full = replace(mixer, window=window), replace(mixer, rotary=full_rotary)
    return tuple(sliding if slide else full for slide in slides)


def head_normed(mixer: Attention) -> Attention:
    """The same attention with RMS norms on the query and key of each head."""
    return replace(mixer, qk_norms=(rms(mixer.head_dim), rms(mixer.head_dim)))


def wholly_normed(mixer: Attention) -> Attention:
    """The same attention with RMS norms over all heads' query and all heads' key at once."""
    return replace(mixer, qk_norms=(rms(mixer.query_width), rms(mixer.key_width)))


def sparse_decoder(
    config: Config,
    mixers: Mixer | Sequence[Mixer],
    ffn: MixtureOfExperts | None,
    sparse: Sequence[bool] | None = None,
    *,
    norms: int = 2,
    mlp_bias: bool = False,
    **options: Any,
) -> ModelSpec:
    """
    A ModelSpec of blocks with RMS norms: `ffn` in the layers that are `sparse` (None: all), the config's MLP elsewhere.

    `mixers` is one for all layers or one for each; `ffn` may be None where no layer is sparse.
    """
    depth = config.size("num_hidden_layers")
    each = (mixers,) * depth if isinstance(mixers, Mixer) else mixers
    norm = rms(config.size("hidden_size"))

    def build(kind: tuple[Mixer, bool]) -> Layer:
        mixer, is_sparse = kind
        return Layer(mixer=mixer, ffn=ffn if is_sparse else dense(config, bias=mlp_bias), norms=(norm,) * norms)

    return mixed_decoder(config, zip(each, sparse or (True,) * depth, strict=True), build, **options)


def mixed_decoder(
    config: Config, kinds: Iterable[Kind], build: Callable[[Kind], Layer], *, tied: bool = False, **options: Any
) -> ModelSpec:
    """A ModelSpec of one built layer for each kind, in order; what predicts further tokens is noted as left out."""
    options = {"notes": further_tokens(config)} | options
    return decoder(config, runs_of(kinds, build), tied=tied, **options)


def further_tokens(config: Config) -> tuple[str, ...]:
    """A note where the checkpoint also holds layers that predict further tokens, which transformers does not build."""
    count = config.count(*_FURTHER_TOKENS, default=0)
    if not count:
        return ()
    return (f"the {count} multi-token-prediction layer(s) of the checkpoint, which transformers does not build",)


def _activation(config: Config) -> str:
    """The config's word; MiniMax-M3's is a clamped SiLU that transformers runs as such."""
    word = config.text("hidden_act", default="silu")
    return "silu" if word == "swigluoai" else word
