"""gpt-oss and MiMo-V2-Flash: attention sinks beside sliding windows. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.model import ModelSpec
from vramcast.sources.common import grouped_query, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.moe_common import deepseek_mixture, local_experts, sparse_decoder, sparse_layers, windowed
from vramcast.sources.registry import reads


@reads("gpt_oss")
def read_gpt_oss(config: Config) -> ModelSpec:
    """Sinks in every layer, a window in every other; biases in attention, experts and router."""
    bias = config.flag("attention_bias", default=True)
    plain = grouped_query(config, kv_heads=8, head_dim=64, qkv_bias=bias, out_bias=bias, sinks=True)
    slides = sliding_layers(config, lambda index: index % 2 == 0)
    mixers = windowed(plain, slides, sliding_window(config, 128))
    ffn = local_experts(config, experts=128, top_k=4, bias=True, router_bias=True)
    return sparse_decoder(config, mixers, ffn)


@reads("mimo_v2_flash")
def read_mimo_v2_flash(config: Config) -> ModelSpec:
    """Sliding layers have sinks and twice the KV heads; values are narrower than keys; no shared expert."""
    full = grouped_query(
        config,
        kv_heads=4,
        head_dim=192,
        value_dim=config.size("v_head_dim", default=128),
        qkv_bias=config.flag("attention_bias"),
    )
    own = config.size("sliding_window_size", default=None)
    window = own + 1 if own else sliding_window(config, 129)
    sliding = replace(full, kv_heads=2 * full.kv_heads, sinks=True, window=window)
    slides = sliding_layers(config, lambda index: index > 0 and (index + 1) % 6 != 0)
    mixers = tuple(sliding if slide else full for slide in slides)
    ffn = deepseek_mixture(config, shared=0)
    return sparse_decoder(config, mixers, ffn, sparse_layers(config, lambda index: index > 0))
