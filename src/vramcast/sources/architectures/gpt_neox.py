"""GPT-NeoX (Pythia, Dolly, RedPajama) and its Japanese cousin. Checked against transformers 5.23."""

from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, dense, layer_norm, multi_head, runs_of
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("gpt_neox")
def read_gpt_neox(config: Config) -> ModelSpec:
    """One matrix for query, key and value, biases everywhere; parallel blocks unless the config says otherwise."""
    bias = config.flag("attention_bias", default=True)
    layer = Layer(
        mixer=multi_head(config, fused_qkv=True, qkv_bias=bias, out_bias=bias),
        ffn=dense(config, activation="gelu", gated=False, bias=True),
        norms=(layer_norm(config.size("hidden_size")),) * 2,
        parallel=config.flag("use_parallel_residual", default=True),
    )
    hidden = config.probability("hidden_dropout")
    attention = config.probability("attention_dropout")
    return decoder(config, layer, dropout=Dropout(embedding=hidden, attention=attention, residual=hidden))


@reads("gpt_neox_japanese")
def read_gpt_neox_japanese(config: Config) -> ModelSpec:
    """No biases, but for the output projection of the last layer; sequential blocks and a tied head."""
    hidden, count = config.size("hidden_size"), config.size("num_hidden_layers")
    multiple = config.size("intermediate_multiple_size", default=4)

    def layer(last: bool) -> Layer:
        return Layer(
            mixer=multi_head(config, fused_qkv=True, out_bias=last),
            ffn=Dense(width=hidden * multiple, gated=False, activation=config.text("hidden_act", default="gelu")),
            norms=(layer_norm(hidden),) * 2,
        )

    return decoder(
        config,
        runs_of((index == count - 1 for index in range(count)), layer),
        tied=True,
        dropout=Dropout(
            attention=config.probability("attention_dropout", default=0.1),
            residual=config.probability("hidden_dropout"),
        ),
    )
