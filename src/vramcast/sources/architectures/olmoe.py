"""OLMoE and FlexOlmo. Checked against transformers 5.23."""

from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query
from vramcast.sources.config import Config
from vramcast.sources.moe_common import local_experts, sparse_decoder, wholly_normed
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
    bias = config.flag("attention_bias")
    mixer = wholly_normed(grouped_query(config, qkv_bias=bias, out_bias=bias))
    return sparse_decoder(config, mixer, local_experts(config, experts=experts, top_k=top_k))
