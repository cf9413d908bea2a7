"""BLOOM, MPT and Falcon: one matrix for query, key and value, most with ALiBi. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, even_groups, hidden_over_heads, layer_norm, multi_head
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("bloom")
def read_bloom(config: Config) -> ModelSpec:
    """ALiBi, a norm behind the embedding, a feed-forward part of 4 · hidden, biases everywhere, a tied head."""
    config = config.renamed(hidden_size="n_embed", num_attention_heads="n_head", num_hidden_layers="n_layer")
    hidden = config.size("hidden_size")
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, qkv_bias=True, out_bias=True, rotary=False),
        ffn=Dense(width=4 * hidden, gated=False, bias=True, activation="gelu"),
        norms=(layer_norm(hidden),) * 2,
    )
    dropout = Dropout(attention=config.probability("attention_dropout"), residual=config.probability("hidden_dropout"))
    return decoder(config, layer, tied=True, embedding_norm=layer_norm(hidden), dropout=dropout)


@reads("mpt")
def read_mpt(config: Config) -> ModelSpec:
    """
    ALiBi, a feed-forward part of 4 · hidden, no bias anywhere, a tied head.

    Raises:
        UnsupportedError: the attention is not multi-head, or it norms query and key; transformers ignores both.
    """
    config = config.renamed(
        hidden_size="d_model",
        num_attention_heads="n_heads",
        num_hidden_layers="n_layers",
        max_position_embeddings="max_seq_len",
    )
    attention = config.part("attn_config") or Config({}, config.name)
    kind = attention.text("attn_type", default="multihead_attention")
    if kind != "multihead_attention" or attention.flag("qk_ln"):
        raise UnsupportedError(
            f"{config.name}: MPT with `{kind[:40]}` or a query/key norm is not modelled",
            "transformers builds plain multi-head attention instead",
        )
    hidden = config.size("hidden_size")
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, rotary=False),
        ffn=Dense(width=4 * hidden, gated=False, activation="gelu"),
        norms=(layer_norm(hidden, bias=False),) * 2,
    )
    drop = attention.probability("attn_pdrop")
    return decoder(config, layer, tied=True, dropout=Dropout(attention=drop, residual=drop))


@reads("falcon")
def read_falcon(config: Config) -> ModelSpec:
    """
    Three designs: multi-query parallel (7B), grouped parallel behind two norms (40B and later), sequential ALiBi (RW).

    Raises:
        InputError: key/value heads do not divide the heads.
    """
    config = config.renamed(hidden_size="n_embed", num_attention_heads="n_head", num_hidden_layers="n_layer")
    hidden = config.size("hidden_size")
    bias = config.flag("bias")
    layer = Layer(
        mixer=_falcon_attention(config, bias=bias),
        ffn=Dense(
            width=config.size("ffn_hidden_size", default=4 * hidden),
            gated=False,
            bias=bias,
            activation=config.text("activation", default="gelu"),
        ),
        norms=(layer_norm(hidden),) * _falcon_norms(config),
        parallel=config.flag("parallel_attn", default=True),
    )
    dropout = Dropout(attention=config.probability("attention_dropout"), residual=config.probability("hidden_dropout"))
    return decoder(config, layer, tied=True, dropout=dropout)


def _falcon_attention(config: Config, *, bias: bool) -> Attention:
    heads = config.size("num_attention_heads")
    groups = heads
    if config.flag("new_decoder_architecture"):
        groups = config.size("num_kv_heads", default=heads)
    elif config.flag("multi_query", default=True):
        groups = 1
    return Attention(
        heads=heads,
        kv_heads=even_groups(config, heads, groups),
        head_dim=hidden_over_heads(config),
        fused_qkv=True,
        qkv_bias=bias,
        out_bias=bias,
        broadcast=not config.flag("new_decoder_architecture"),
        rotary=not config.flag("alibi"),
    )


def _falcon_norms(config: Config) -> int:
    if not config.flag("parallel_attn", default=True):
        return 2
    default = 2 if config.flag("new_decoder_architecture") else 1
    return 2 if config.size("num_ln_in_parallel_attn", default=default) == 2 else 1
