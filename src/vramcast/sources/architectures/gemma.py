"""Gemma 1–3 and VaultGemma, text. Checked against transformers 5.23."""

from collections.abc import Callable
from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import capped, decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads

TANH = "gelu_pytorch_tanh"


@reads("gemma")
def read_gemma(config: Config) -> ModelSpec:
    """Heads of 256 features, a GELU gate and a tied head. The word `gelu` means the tanh form here."""
    ffn = dense(config, activation=TANH)
    layer = Layer(
        mixer=_attention(config, kv_heads=16),
        ffn=replace(ffn, activation=TANH) if ffn.activation == "gelu" else ffn,
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer, tied=True)


@reads("gemma2")
def read_gemma2(config: Config) -> ModelSpec:
    """Every other layer slides; norms before and after each part; attention scores and logits are soft-capped."""
    return _read_capped(config, norms=4)


@reads("vaultgemma")
def read_vaultgemma(config: Config) -> ModelSpec:
    """Gemma 2 without the norms after each part."""
    return _read_capped(config, norms=2)


@reads("gemma3_text")
def read_gemma3(config: Config) -> ModelSpec:
    """
    Five sliding layers to one full, and an RMS norm on each query and key head.

    A window counts both sides where attention is bidirectional (EmbeddingGemma), so half of it is kept.
    """
    window = kept_window(config, 4096, halved=config.flag("use_bidirectional_attention"))
    pattern = config.size("sliding_window_pattern", default=6)

    def attention(window: int | None) -> Attention:
        plain = _attention(config, kv_heads=4, window=window)
        return replace(plain, qk_norms=(rms(plain.head_dim),) * 2)

    return _read_mixed(config, pattern, window, attention, norms=4, logits_capped=False)


def kept_window(config: Config, default: int, *, halved: bool) -> int | None:
    """Tokens that a sliding layer keeps; where it looks both ways, its window counts both sides and is `halved`."""
    window = sliding_window(config, default)
    return window // 2 + 1 if window and halved else window


def sharing_layers(config: Config, slides: tuple[bool, ...], *, default: int) -> tuple[bool, ...]:
    """
    Which layers reuse the keys and values of an earlier one of their kind: the last `num_kv_shared_layers`.

    Raises:
        InputError: some kind of layer, sliding or full, is left with none to take keys and values from.
    """
    shared = config.count("num_kv_shared_layers", default=default)
    own = len(slides) - shared
    if shared and (own < 1 or set(slides[:own]) != set(slides)):
        raise InputError(f"{config.name}: {shared} layers of {len(slides)} share keys and values that no layer makes")
    return tuple(index >= own for index in range(len(slides)))


def _read_capped(config: Config, norms: int) -> ModelSpec:
    softcap = capped(config, "attn_logit_softcapping", default=True)

    def attention(window: int | None) -> Attention:
        return _attention(config, kv_heads=4, window=window, softcap=softcap)

    return _read_mixed(config, 2, sliding_window(config, 4096), attention, norms=norms, logits_capped=True)


def _read_mixed(
    config: Config,
    pattern: int,
    window: int | None,
    attention: Callable[[int | None], Attention],
    *,
    norms: int,
    logits_capped: bool,
) -> ModelSpec:
    """Every `pattern`-th layer is full, the others slide; `logits_capped` is the default for the cap on the logits."""
    config = config.renamed(hidden_act="hidden_activation")

    def layer(window: int | None) -> Layer:
        return Layer(
            mixer=attention(window),
            ffn=dense(config, activation=TANH),
            norms=(rms(config.size("hidden_size")),) * norms,
        )

    slides = sliding_layers(config, lambda index: (index + 1) % pattern != 0)
    layers = runs_of((window if slide else None for slide in slides), layer)
    caps = capped(config, "final_logit_softcapping", default=logits_capped)
    return decoder(config, layers, tied=True, logits_capped=caps)


def _attention(config: Config, kv_heads: int, *, window: int | None = None, softcap: bool = False) -> Attention:
    bias = config.flag("attention_bias")
    return grouped_query(
        config, kv_heads=kv_heads, head_dim=256, qkv_bias=bias, out_bias=bias, window=window, softcap=softcap
    )
