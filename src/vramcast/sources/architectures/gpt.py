"""GPT-2 and its descendants with learned positions or an early rotary form. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, hidden_over_heads, layer_norm, multi_head
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("gpt2", "gpt-sw3")
def read_gpt2(config: Config) -> ModelSpec:
    """Learned positions, one matrix for query, key and value, biases everywhere, a tied head."""
    config = _named(config)
    attention = multi_head(config, fused_qkv=True, qkv_bias=True, out_bias=True, rotary=False)
    return _read_learned(config, attention, "gelu_new")


@reads("openai-gpt")
def read_gpt(config: Config) -> ModelSpec:
    """GPT-1: GPT-2 with norms after each part and none at the end."""
    config = _named(config)
    hidden = config.size("hidden_size")
    word = config.text("afn", default="gelu")
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, qkv_bias=True, out_bias=True, rotary=False),
        ffn=Dense(width=4 * hidden, gated=False, bias=True, activation="gelu_new" if word == "gelu" else word),
        norms=(layer_norm(hidden),) * 2,
    )
    return decoder(
        config,
        layer,
        tied=True,
        final_norm=None,
        positions=config.size("max_position_embeddings", default=512),
        dropout=_dropout(config, default=0.1),
        notes=("the causal-mask buffer of every layer, 4 · positions² bytes",),
    )


@reads("gpt_bigcode")
def read_gpt_bigcode(config: Config) -> ModelSpec:
    """GPT-2 with one key/value head (StarCoder, SantaCoder)."""
    config = _named(config)
    heads = config.size("num_attention_heads")
    attention = Attention(
        heads=heads,
        kv_heads=1 if config.flag("multi_query", default=True) else heads,
        head_dim=hidden_over_heads(config),
        fused_qkv=True,
        qkv_bias=True,
        out_bias=True,
        rotary=False,
    )
    return _read_learned(config, attention, "gelu_pytorch_tanh", notes=("the causal-mask buffer, positions² bytes",))


@reads("gpt_neo")
def read_gpt_neo(config: Config) -> ModelSpec:
    """
    Learned positions and unscaled attention in FP32, no bias on query, key and value.

    Its local layers mask what lies outside their window but keep every token, so they count as full.

    Raises:
        InputError: `attention_types` does not list as many layers as the model has.
    """
    config = config.renamed(num_attention_heads="num_heads", num_hidden_layers="num_layers")
    hidden, count = config.size("hidden_size"), config.size("num_hidden_layers")
    if _listed(config) != count:
        raise InputError(f"{config.name}: `attention_types` lists {_listed(config)} layers, the model has {count}")
    layer = Layer(
        mixer=multi_head(config, out_bias=True, rotary=False),
        ffn=_plain(config, "gelu_new", config.size("intermediate_size", default=4 * hidden)),
        norms=(layer_norm(hidden),) * 2,
    )
    return decoder(
        config,
        layer,
        tied=True,
        positions=config.size("max_position_embeddings", default=2048),
        dropout=Dropout(
            embedding=config.probability("embed_dropout"),
            attention=config.probability("attention_dropout"),
            residual=config.probability("resid_dropout"),
        ),
        notes=("the causal-mask buffer of every layer, positions² bytes",),
    )


@reads("gptj")
def read_gptj(config: Config) -> ModelSpec:
    """Parallel blocks behind one layer norm; only the feed-forward part and the output head have biases."""
    return _read_parallel(config, fused_qkv=False)


@reads("codegen")
def read_codegen(config: Config) -> ModelSpec:
    """GPT-J with one matrix for query, key and value."""
    return _read_parallel(config, fused_qkv=True)


def _read_learned(config: Config, attention: Attention, activation: str, notes: tuple[str, ...] = ()) -> ModelSpec:
    if config.flag("add_cross_attention"):
        raise UnsupportedError(
            f"{config.name}: cross-attention layers are not modelled", "only decoder-only models are"
        )
    hidden = config.size("hidden_size")
    layer = Layer(
        mixer=attention,
        ffn=_plain(config, activation, config.size("n_inner", default=4 * hidden)),
        norms=(layer_norm(hidden),) * 2,
    )
    return decoder(
        config,
        layer,
        tied=True,
        positions=config.size("max_position_embeddings", default=1024),
        dropout=_dropout(config, default=0.1),
        notes=notes,
    )


def _read_parallel(config: Config, *, fused_qkv: bool) -> ModelSpec:
    config = _named(config)
    hidden = config.size("hidden_size")
    layer = Layer(
        mixer=multi_head(config, fused_qkv=fused_qkv),
        ffn=_plain(config, "gelu_new", config.size("n_inner", default=4 * hidden)),
        norms=(layer_norm(hidden),),
        parallel=True,
    )
    return decoder(config, layer, head_bias=True, dropout=_dropout(config, default=0.0))


def _plain(config: Config, activation: str, width: int) -> Dense:
    return Dense(width=width, gated=False, bias=True, activation=config.text("activation_function", default=activation))


def _dropout(config: Config, default: float) -> Dropout:
    return Dropout(
        embedding=config.probability("embd_pdrop", default=default),
        attention=config.probability("attn_pdrop", default=default),
        residual=config.probability("resid_pdrop", default=default),
    )


def _named(config: Config) -> Config:
    return config.renamed(
        hidden_size="n_embd",
        num_attention_heads="n_head",
        num_hidden_layers="n_layer",
        max_position_embeddings="n_positions",
    )


def _listed(config: Config) -> int:
    """Layers that `attention_types` lists: pairs of kinds and how often they repeat; 24 if absent."""
    pairs = config.raw("attention_types")
    if pairs is None:
        return 24
    try:
        return sum(len(kinds) * int(repeats) for kinds, repeats in pairs)
    except (TypeError, ValueError):
        raise config.wrong(("attention_types",), "pairs of a list of kinds and a count", pairs) from None
