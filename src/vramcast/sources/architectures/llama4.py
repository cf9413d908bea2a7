"""The text model of Llama 4. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.sources.common import grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import flags_by_layer, gated, local_experts, mixed_decoder, words_by_layer
from vramcast.sources.registry import reads


@reads("llama4_text")
def read_llama4(config: Config) -> ModelSpec:
    """
    Chunked attention with rotary embeddings in three layers of four, full attention without in the fourth.

    Mixtures stand in every `interleave_moe_layer_step`-th layer. The norms on query and key have no weights; the router
    is a linear of a kind of its own, which quantisers do not replace.
    """
    norm = rms(config.size("hidden_size"))
    width = config.size("intermediate_size")
    ffn = local_experts(config, experts=16, top_k=1, shared=gated(config, width))
    every = config.size("no_rope_layer_interval", default=4)
    rotary = flags_by_layer(config, "no_rope_layers", lambda index: (index + 1) % every != 0)
    words = words_by_layer(
        config,
        "layer_types",
        ("chunked_attention", "full_attention"),
        lambda index: "chunked_attention" if rotary[index] else "full_attention",
    )

    def build(kind: tuple[bool, str, bool]) -> Layer:
        turned, word, sparse = kind
        plain = None if sparse else gated(config, config.size("intermediate_size_mlp", default=16384))
        return Layer(mixer=_attention(config, turned, word), ffn=ffn if sparse else plain, norms=(norm, norm))

    return mixed_decoder(config, zip(rotary, words, _sparse_layers(config), strict=True), build)


def _attention(config: Config, rotary: bool, word: str) -> Attention:
    bias = config.flag("attention_bias")
    plain = grouped_query(config, kv_heads=8, head_dim=128, qkv_bias=bias, out_bias=bias, rotary=rotary)
    norm = Norm(NormKind.RMS, plain.head_dim, affine=False)
    normed = rotary and config.flag("use_qk_norm", default=True)
    chunk = config.size("attention_chunk_size", default=8192) if word == "chunked_attention" else None
    return replace(plain, window=chunk, qk_norms=(norm, norm) if normed else ())


def _sparse_layers(config: Config) -> tuple[bool, ...]:
    depth = config.size("num_hidden_layers")
    if config.raw("moe_layers") is not None:
        listed = frozenset(config.sizes("moe_layers"))
        return tuple(index in listed for index in range(depth))
    step = config.size("interleave_moe_layer_step", default=1)
    return tuple((index + 1) % step == 0 for index in range(depth))
