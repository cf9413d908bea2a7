"""OLMoE and FlexOlmo. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.layer import Attention, Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixture
from vramcast.sources.registry import reads


@reads("olmoe")
def read_olmoe(config: Config) -> ModelSpec:
    """Small experts in every layer; query and key are normalised over all heads at once."""
    return _read(config, experts=64, top_k=8)


@reads("flex_olmo")
def read_flex_olmo(config: Config) -> ModelSpec:
    """The same sizes with other defaults; the norms follow attention and mixture instead of leading them."""
    return _read(config, experts=7, top_k=5)


def _read(config: Config, *, experts: int, top_k: int) -> ModelSpec:
    norm = rms(config.size("hidden_size"))
    ffn = mixture(
        config,
        experts=config.size("num_experts", "num_local_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=top_k),
        width=config.size("intermediate_size"),
    )
    return decoder(config, Layer(mixer=_attention(config), ffn=ffn, norms=(norm, norm)))


def _attention(config: Config) -> Attention:
    bias = config.flag("attention_bias")
    plain = grouped_query(config, qkv_bias=bias, out_bias=bias)
    return replace(plain, qk_norms=(rms(plain.query_width), rms(plain.key_width)))
