"""Llama 1–3 and the architectures that are Llama in all but name. Checked against transformers 5.23."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, dense, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("llama", "granite")
def read_llama(config: Config) -> ModelSpec:
    """Pre-norm blocks of grouped-query attention and a gated MLP; biases where the config asks for them."""
    return _read(config, kv_heads=None, head_dim=None)


@reads("internlm3")
def read_internlm3(config: Config) -> ModelSpec:
    """Llama under other names: `qkv_bias` stands for every attention bias, `bias` for the MLP's."""
    return _read(config.renamed(attention_bias="qkv_bias", mlp_bias="bias"), kv_heads=2, head_dim=128)


@reads("iquestcoder")
def read_iquestcoder(config: Config) -> ModelSpec:
    """Llama with other defaults."""
    return _read(config, kv_heads=8, head_dim=128)


def _read(config: Config, *, kv_heads: int | None, head_dim: int | None) -> ModelSpec:
    bias = config.flag("attention_bias")
    layer = Layer(
        mixer=grouped_query(config, kv_heads=kv_heads, head_dim=head_dim, qkv_bias=bias, out_bias=bias),
        ffn=dense(config, bias=config.flag("mlp_bias")),
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer)
