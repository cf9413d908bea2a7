"""ERNIE 4.5's mixtures. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind
from vramcast.sources.common import grouped_query
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, mixture, sparse_decoder
from vramcast.sources.registry import reads


@reads("ernie4_5_moe")
def read_ernie_moe(config: Config) -> ModelSpec:
    """Biases everywhere, even in the head, where `use_bias` asks for them; the head is tied by default."""
    bias = config.flag("use_bias")
    width = config.size("moe_intermediate_size")
    ffn = mixture(
        config,
        experts=config.size("moe_num_experts", "num_experts"),
        top_k=config.size("moe_k", "num_experts_per_tok", default=6),
        width=width,
        shared=gated(config, width * config.count("moe_num_shared_experts", default=2), bias=bias),
    )
    # the router's correction: a parameter in transformers, though never trained
    ffn = replace(ffn, extra=(Weight("router.correction", (1, ffn.experts), WeightKind.OTHER),))
    return sparse_decoder(
        config,
        grouped_query(config, kv_heads=4, qkv_bias=bias, out_bias=bias),
        ffn,
        _sparse_layers(config),
        mlp_bias=bias,
        head_bias=bias,
        tied=True,
    )


def _sparse_layers(config: Config) -> tuple[bool, ...]:
    depth = config.size("num_hidden_layers")
    first, every = config.count("moe_layer_start_index", default=1), config.size("moe_layer_interval", default=1)
    last = depth - 1 if config.raw("moe_layer_end_index") in (None, -1) else config.count("moe_layer_end_index")
    return tuple((index + 1) % every == 0 and first <= index <= last for index in range(depth))
