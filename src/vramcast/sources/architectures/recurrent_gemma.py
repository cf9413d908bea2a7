"""RecurrentGemma (Griffin): gated linear recurrences and sliding attention in turn. Checked: transformers 5.23."""

from itertools import cycle, islice

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import linear
from vramcast.sources.common import decoder, grouped_query, rms, runs_of
from vramcast.sources.config import Config
from vramcast.sources.registry import reads
from vramcast.sources.state_space import bare, block_count, convolution, share

_TURN = ("recurrent", "recurrent", "attention")


@reads("recurrent_gemma")
def read_recurrent_gemma(config: Config) -> ModelSpec:
    """Blocks in the turn that `block_types` names; the MLP is half as wide as `intermediate_size` says."""
    turn = config.words("block_types") or _TURN
    norm = rms(config.size("hidden_size"))
    ffn = Dense(
        width=share(config, config.size("intermediate_size"), 2, "halves"),
        bias=True,
        activation=config.text("hidden_activation", default="gelu_pytorch_tanh"),
    )

    def layer(kind: str) -> Layer:
        mixer = _recurrence(config) if kind == "recurrent" else _attention(config)
        return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))

    kinds = islice(cycle(turn), block_count(config))
    return decoder(config, runs_of(kinds, layer), tied=True, logits_capped=True)


def _attention(config: Config) -> Attention:
    window = config.size("attention_window_size", "sliding_window", default=2048)
    return grouped_query(config, qkv_bias=config.flag("attention_bias"), out_bias=True, window=window)


def _recurrence(config: Config) -> LinearAttention:
    """A real-gated linear recurrent unit: one number of state for each channel, gates in blocks of one head each."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    width = config.size("lru_width", default=hidden)
    block = share(config, width, heads, "heads")
    kernel = config.size("conv1d_width", default=4)
    parts = (
        *linear("linear_y", width, hidden, bias=True),
        *linear("linear_x", width, hidden, bias=True),
        *convolution(width, kernel, bias=True),
        bare("recurrent_param", width),
        *(bare(f"{gate}_gate", heads, block, block) for gate in ("input", "recurrent")),
        *(bare(f"{gate}_gate.bias", heads, block) for gate in ("input", "recurrent")),
        *linear("linear_out", hidden, width, bias=True),
    )
    return LinearAttention(
        variant=LinearKind.RG_LRU,
        heads=heads,
        key_dim=1,
        value_dim=block,
        conv_width=width,
        tail=kernel - 1,
        parts=parts,
    )
