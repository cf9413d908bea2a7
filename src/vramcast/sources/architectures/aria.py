"""The text model of Aria. Checked against transformers 5.23."""

from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, mixture, sparse_decoder
from vramcast.sources.registry import reads


@reads("aria_text")
def read_aria(config: Config) -> ModelSpec:
    """Llama's attention, a mixture in every layer; biases in the shared experts where the config asks for them."""
    bias, width = config.flag("attention_bias"), config.size("intermediate_size")
    every_token = width * config.count("moe_num_shared_experts", default=2)
    ffn = mixture(
        config,
        experts=config.size("moe_num_experts", default=8),
        top_k=config.size("moe_topk", default=2),
        width=width,
        shared=gated(config, every_token, bias=config.flag("mlp_bias")),
    )
    return sparse_decoder(config, grouped_query(config, qkv_bias=bias, out_bias=bias), ffn)
