"""OPT, XGLM and BioGPT: decoders from the fairseq line. Checked against transformers 5.23."""

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.weights import Weight, linear
from vramcast.sources.common import decoder, dense, layer_norm, multi_head
from vramcast.sources.config import Config
from vramcast.sources.registry import reads

_OFFSET = 2  # rows of the position table before the first position


@reads("opt")
def read_opt(config: Config) -> ModelSpec:
    """
    Learned positions and a ReLU feed-forward part.

    Where the embedding is narrower than the model (OPT-350m), two projections lead in and out; that model also norms
    after each part and has no final norm.
    """
    hidden = config.size("hidden_size")
    bias = config.flag("enable_bias", default=True)
    affine = config.flag("layer_norm_elementwise_affine", default=True)
    norm = Norm(NormKind.LAYER, hidden, bias=affine, affine=affine)
    width = config.size("word_embed_proj_dim", default=hidden)
    keeps_norm = config.flag("do_layer_norm_before", default=True) and not config.flag("_remove_final_layer_norm")
    layer = Layer(
        mixer=multi_head(config, qkv_bias=bias, out_bias=bias, rotary=False),
        ffn=Dense(
            width=config.size("ffn_dim", default=3072),
            gated=False,
            bias=bias,
            activation=config.text("activation_function", default="relu"),
        ),
        norms=(norm, norm),
    )
    return decoder(
        config,
        layer,
        tied=True,
        final_norm=norm if keeps_norm else None,
        positions=config.size("max_position_embeddings", default=2048) + _OFFSET,
        embedding_size=width if width != hidden else None,
        extra=_projections(width, hidden),
        dropout=Dropout(
            attention=config.probability("attention_dropout"), residual=config.probability("dropout", default=0.1)
        ),
    )


@reads("xglm")
def read_xglm(config: Config) -> ModelSpec:
    """Sinusoidal positions, which are computed and not learned; biases everywhere and a tied head."""
    config = config.renamed(
        num_attention_heads="attention_heads", hidden_size="d_model", num_hidden_layers="num_layers"
    )
    if config.flag("add_cross_attention"):
        raise UnsupportedError(
            f"{config.name}: cross-attention layers are not modelled", "only decoder-only models are"
        )
    layer = Layer(
        mixer=multi_head(config, qkv_bias=True, out_bias=True, rotary=False),
        ffn=Dense(
            width=config.size("ffn_dim", default=4096),
            gated=False,
            bias=True,
            activation=config.text("activation_function", default="gelu"),
        ),
        norms=(layer_norm(config.size("hidden_size")),) * 2,
    )
    dropout = config.probability("dropout", default=0.1)
    attention = config.probability("attention_dropout", default=0.1)
    return decoder(config, layer, tied=True, dropout=Dropout(embedding=dropout, attention=attention, residual=dropout))


@reads("biogpt")
def read_biogpt(config: Config) -> ModelSpec:
    """Learned positions, biases everywhere and a tied head."""
    layer = Layer(
        mixer=multi_head(config, qkv_bias=True, out_bias=True, rotary=False),
        ffn=dense(config, activation="gelu", gated=False, bias=True),
        norms=(layer_norm(config.size("hidden_size")),) * 2,
    )
    dropout = config.probability("hidden_dropout_prob", default=0.1)
    attention = config.probability("attention_probs_dropout_prob", default=0.1)
    return decoder(
        config,
        layer,
        tied=True,
        positions=config.size("max_position_embeddings", default=1024) + _OFFSET,
        dropout=Dropout(embedding=dropout, attention=attention, residual=dropout),
    )


def _projections(width: int, hidden: int) -> tuple[Weight, ...]:
    if width == hidden:
        return ()
    return (*linear("project_in", hidden, width), *linear("project_out", width, hidden))
