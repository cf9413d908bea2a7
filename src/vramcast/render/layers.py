"""A model's layers in words, equal ones together."""

from collections import Counter

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.feed_forward import Dense, Ffn, MixtureOfExperts
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace, StateSpaceKind

_VARIANTS: dict[StateSpaceKind | LinearKind, str] = {
    StateSpaceKind.JAMBA: "mamba with norms",
    StateSpaceKind.ZAMBA: "mamba in heads",
    LinearKind.LIGHTNING: "lightning attention",
    LinearKind.RG_LRU: "RG-LRU",
    LinearKind.RWKV: "RWKV",
    LinearKind.SHORT_CONV: "short convolution",
    LinearKind.MLSTM: "mLSTM",
}


def layer_lines(model: ModelSpec) -> list[str]:
    """
    How many layers there are of each kind, in the order in which the kinds first appear.

    Such as `32 × attention, 32 heads, 8 KV heads, head dim 128; gated MLP of 14,336`.
    """
    counts: Counter[str] = Counter()
    for run in model.layers:
        counts[_layer(run.layer)] += run.count
    return [f"{count} × {words}" for words, count in counts.items()]


def _layer(layer: Layer) -> str:
    mixers = " beside ".join(map(_mixer, layer.mixers))
    words = "; ".join(part for part in (mixers, _ffn(layer.ffn) if layer.ffn else "") if part)
    return f"{words} (weights of an earlier layer)" if layer.shares_weights else words


def _mixer(mixer: Mixer) -> str:
    match mixer:
        case Attention():
            return _attention(mixer)
        case LatentAttention():
            return f"latent attention, {mixer.heads} heads, cache of {mixer.kv_rank} + {mixer.rope_dim}"
        case CompressedAttention():
            past = f", {mixer.rate} older ones in one" if mixer.rate else ""
            return f"compressed attention, {mixer.heads} heads, {mixer.window:,} tokens whole{past}"
        case StateSpace():
            return f"{_words(mixer.variant)}, {mixer.inner:,} channels, state {mixer.state}"
        case LinearAttention():
            width = f"{mixer.heads} heads" if mixer.key_dim > 1 else f"{mixer.value_width:,} channels"
            return f"{_words(mixer.variant)}, {width}"


def _attention(mixer: Attention) -> str:
    window = f" over {mixer.window:,} tokens" if mixer.window else ""
    groups = f", {mixer.kv_heads} KV head{'s' * (mixer.kv_heads > 1)}" if mixer.kv_heads != mixer.heads else ""
    shared = ", keys and values of an earlier layer" if mixer.shares_kv else ""
    return f"attention{window}, {mixer.heads} heads{groups}, head dim {mixer.head_dim}{shared}"


def _ffn(ffn: Ffn) -> str:
    match ffn:
        case Dense():
            return f"{'gated ' if ffn.gated else ''}MLP of {ffn.width:,}"
        case MixtureOfExperts():
            shared = f", and a shared one of {ffn.shared.width:,}" if ffn.shared else ""
            return f"mixture of {ffn.experts} experts of {ffn.width:,}, {ffn.top_k} for each token{shared}"


def _words(variant: StateSpaceKind | LinearKind) -> str:
    return _VARIANTS.get(variant, variant.value.replace("_", " "))
