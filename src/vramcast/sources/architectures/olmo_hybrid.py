"""OLMo Hybrid: gated delta nets, every fourth block attention. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention
from vramcast.domain.weights import linear
from vramcast.sources.common import dense, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.delta_net import delta_net, delta_sizes
from vramcast.sources.moe_common import mixed_decoder
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, block_count, block_kinds, sane


@reads("olmo_hybrid")
def read_olmo_hybrid(config: Config) -> ModelSpec:
    """Norms stand before a delta net and its MLP, and behind attention and its MLP; a model has both kinds."""
    last = block_count(config) - 1
    first = min(3, last)
    kinds = block_kinds(
        config, ("layer_types",), (RECURRENT, FULL), lambda index: FULL if index % 4 == first else RECURRENT
    )
    if len(set(kinds)) == 1:
        raise InputError(f"{config.name}: an OLMo hybrid has blocks of both kinds, not only {kinds[0]}")
    norm = rms(config.size("hidden_size"))
    ffn = dense(config)

    def layer(kind: str) -> Layer:
        mixer = _attention(config) if kind == FULL else _delta_net(config)
        return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))

    return mixed_decoder(config, kinds, layer)


def _attention(config: Config) -> Attention:
    """Norms over the whole width of query and key; without positions where the rotary base is null."""
    rope = config.part("rope_parameters")
    rotary = rope is None or not rope.has("rope_theta") or rope.raw("rope_theta") is not None
    bias = config.flag("attention_bias")
    plain = grouped_query(config, qkv_bias=bias, out_bias=bias, rotary=rotary)
    return replace(plain, qk_norms=(rms(plain.query_width), rms(plain.key_width)))


def _delta_net(config: Config) -> LinearAttention:
    hidden = config.size("hidden_size")
    heads = config.size("num_attention_heads")
    key_heads = config.size("linear_num_key_heads", default=heads)
    key_dim = config.size("linear_key_head_dim", default=None) or sane(
        config, int(0.75 * hidden / key_heads), "the key width of a head"
    )
    sizes = delta_sizes(config, key_heads=key_heads, value_heads=heads, key_dim=key_dim, value_dim=2 * key_dim)
    inputs = (
        *linear("q_proj", sizes.keys, hidden),
        *linear("k_proj", sizes.keys, hidden),
        *linear("v_proj", sizes.values, hidden),
        *linear("a_proj", sizes.value_heads, hidden),
        *linear("b_proj", sizes.value_heads, hidden),
        *linear("g_proj", sizes.values, hidden),
    )
    return delta_net(config, sizes, inputs, norm="o_norm", out="o_proj")
