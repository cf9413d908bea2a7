"""Hunyuan-A13B. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import gated, head_normed, mixed_decoder, mixture
from vramcast.sources.registry import reads


@reads("hunyuan_v1_moe")
def read_hunyuan_moe(config: Config) -> ModelSpec:
    """A shared expert as wide as the others in every layer; a plain linear routes, to as many as its layer says."""
    bias = config.flag("attention_bias")
    mixer = head_normed(grouped_query(config, qkv_bias=bias, out_bias=bias))
    return mixed_decoder(config, _visited(config), lambda top_k: _layer(config, mixer, top_k))


def _layer(config: Config, mixer: Attention, top_k: int) -> Layer:
    width, norm = config.size("intermediate_size"), rms(config.size("hidden_size"))
    ffn = mixture(
        config,
        experts=config.size("num_experts", "num_local_experts"),
        top_k=top_k,
        width=width,
        shared=gated(config, width),
        router_linear=True,
    )
    return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))


def _visited(config: Config) -> tuple[int, ...]:
    depth, keys = config.size("num_hidden_layers"), ("moe_topk", "num_experts_per_tok")
    if not isinstance(config.raw(*keys), list):
        return (config.size(*keys, default=1),) * depth
    listed = config.sizes(*keys)
    if len(listed) != depth or 0 in listed:
        raise InputError(f"{config.name}: `moe_topk` must list at least one expert for each of {depth} layers")
    return listed
