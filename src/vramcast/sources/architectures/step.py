"""Step 3.5. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import linear
from vramcast.sources.common import grouped_query, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, head_normed, mixture, sparse_decoder, words_by_layer
from vramcast.sources.registry import reads

_FULL, _SLIDING = "full_attention", "sliding_attention"


@reads("step3p5")
def read_step(config: Config) -> ModelSpec:
    """A gate on attention's output, more heads in sliding layers where so configured, three dense layers first."""
    config = config.renamed(num_key_value_heads="num_attention_groups")
    bias = config.flag("mlp_bias")
    ffn = mixture(
        config,
        experts=config.size("n_routed_experts", "moe_num_experts", "num_local_experts", default=288),
        top_k=config.size("num_experts_per_tok", "moe_top_k", default=8),
        width=config.size("moe_intermediate_size"),
        shared=gated(config, config.count("share_expert_dim", "share_expert_dims", default=1280), bias=bias),
    )
    words = words_by_layer(config, "layer_types", (_FULL, _SLIDING), lambda _: _FULL, cut=True)
    full = _gated_attention(config, config.size("num_attention_heads"))
    sliding = replace(_gated_attention(config, _sliding_heads(config)), window=sliding_window(config))
    mixers = tuple(sliding if word == _SLIDING else full for word in words)
    return sparse_decoder(config, mixers, ffn, _sparse_layers(config), mlp_bias=bias)


def _gated_attention(config: Config, heads: int) -> Attention:
    bias = config.flag("attention_bias")
    usual = head_normed(grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=bias, out_bias=bias))
    if heads % usual.kv_heads:
        raise InputError(f"{config.name}: {usual.kv_heads} key/value heads do not divide {heads} heads")
    return replace(usual, heads=heads, extra=linear("g_proj", heads, config.size("hidden_size")))


def _sliding_heads(config: Config) -> int:
    other = config.part("attention_other_setting") or Config({}, config.name)
    usual = other.size("num_attention_heads", default=config.size("num_attention_heads"))
    return config.size("num_sliding_attention_heads", default=usual)


def _sparse_layers(config: Config) -> tuple[bool, ...]:
    listed = _enumerated(config)
    words = words_by_layer(
        config,
        "mlp_layer_types",
        ("dense", "sparse"),
        lambda index: "sparse" if (index > 2 if listed is None else index in listed) else "dense",
        cut=True,
    )
    return tuple(word == "sparse" for word in words)


def _enumerated(config: Config) -> frozenset[int] | None:
    """The layers that `moe_layers_enum` lists, as numbers or as text with commas; None if it is absent."""
    listed = config.raw("moe_layers_enum")
    if listed is None:
        return None
    if not isinstance(listed, str):
        return frozenset(config.sizes("moe_layers_enum"))
    numbers = [number.strip() for number in listed.split(",") if number.strip()]
    if not all(number.isdecimal() and len(number) < 6 for number in numbers):
        raise config.wrong(("moe_layers_enum",), "layer numbers with commas between them", listed)
    return frozenset(map(int, numbers))
