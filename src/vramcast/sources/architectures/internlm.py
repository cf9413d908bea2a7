"""InternLM 1–2.5 and Baichuan 1–2 by the code published with their checkpoints."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, dense, grouped_query, multi_head, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads

_BAICHUAN_ROTARY_HIDDEN = 4096  # the 7B models; the 13B models, 5,120 wide, use ALiBi. Source: vLLM's loader


@reads("internlm")
def read_internlm(config: Config) -> ModelSpec:
    """Llama with biases on all four attention projections."""
    bias = config.flag("bias", default=True)
    layer = Layer(
        mixer=multi_head(config, qkv_bias=bias, out_bias=bias),
        ffn=dense(config),
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer)


@reads("internlm2")
def read_internlm2(config: Config) -> ModelSpec:
    """Llama with one matrix for query, key and value (`wqkv`)."""
    bias = config.flag("bias")
    layer = Layer(
        mixer=grouped_query(config, fused_qkv=True, qkv_bias=bias, out_bias=bias),
        ffn=dense(config),
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer, logits_upcast=True)


@reads("baichuan")
def read_baichuan(config: Config) -> ModelSpec:
    """Llama with one matrix for query, key and value (`W_pack`); rotary at 7B, ALiBi at 13B."""
    hidden = config.size("hidden_size")
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, rotary=hidden == _BAICHUAN_ROTARY_HIDDEN),
        ffn=dense(config),
        norms=(rms(hidden),) * 2,
    )
    return decoder(config.renamed(max_position_embeddings="model_max_length"), layer)
