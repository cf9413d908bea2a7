"""GLM-4, and ChatGLM 2–3 / GLM-4 as remote code. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.domain.norm import Norm
from vramcast.sources.common import decoder, dense, even_groups, grouped_query, hidden_over_heads, layer_norm, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("glm")
def read_glm(config: Config) -> ModelSpec:
    """Biases on query, key and value; one matrix makes gate and up."""
    return decoder(config, _layer(config, norms=2))


@reads("glm4")
def read_glm4(config: Config) -> ModelSpec:
    """GLM with norms after each part as well."""
    return decoder(config, _layer(config, norms=4))


@reads("glm4v_text")
def read_glm4v_text(config: Config) -> ModelSpec:
    """The language part of GLM-4.1V: GLM-4 with heads that share the hidden size."""
    return decoder(config, _layer(config, norms=4, head_dim=None))


@reads("chatglm")
def read_chatglm(config: Config) -> ModelSpec:
    """
    ChatGLM2-6B, ChatGLM3-6B and GLM-4-9B by their own code: one matrix for query, key and value, one for gate and up.

    Source: the modelling code published with the checkpoints.

    Raises:
        UnsupportedError: the first ChatGLM-6B, another design under the same name.
    """
    if config.raw("ffn_hidden_size") is None:
        raise UnsupportedError(
            f"{config.name}: the first ChatGLM-6B is not modelled", "ChatGLM2-6B and later are, as chatglm or glm"
        )
    config = config.renamed(
        num_hidden_layers="num_layers", vocab_size="padded_vocab_size", max_position_embeddings="seq_length"
    )
    norm = _chatglm_norm(config)
    bias = config.flag("add_bias_linear")
    layer = Layer(
        mixer=_chatglm_attention(config, bias=bias),
        ffn=Dense(width=config.size("ffn_hidden_size"), fused_gate_up=True, bias=bias),
        norms=(norm, norm),
    )
    return decoder(
        config,
        layer,
        final_norm=norm if config.flag("post_layer_norm", default=True) else None,
        logits_upcast=True,
        dropout=Dropout(
            attention=config.probability("attention_dropout"), residual=config.probability("hidden_dropout")
        ),
    )


def _layer(config: Config, *, norms: int, head_dim: int | None = 128) -> Layer:
    bias = config.flag("attention_bias", default=True)
    return Layer(
        mixer=grouped_query(config, kv_heads=2, head_dim=head_dim, qkv_bias=bias),
        ffn=dense(config, fused_gate_up=True),
        norms=(rms(config.size("hidden_size")),) * norms,
    )


def _chatglm_attention(config: Config, *, bias: bool) -> Attention:
    heads = config.size("num_attention_heads")
    groups = config.size("multi_query_group_num") if config.flag("multi_query_attention") else heads
    width = config.size("kv_channels", default=0)
    return Attention(
        heads=heads,
        kv_heads=even_groups(config, heads, groups),
        head_dim=width or hidden_over_heads(config),
        fused_qkv=True,
        qkv_bias=bias or config.flag("add_qkv_bias"),
        out_bias=bias,
    )


def _chatglm_norm(config: Config) -> Norm:
    make = rms if config.flag("rmsnorm", default=True) else layer_norm
    return make(config.size("hidden_size"))
