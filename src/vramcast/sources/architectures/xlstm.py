"""xLSTM (large): mLSTM blocks, each with an MLP. Checked against transformers 5.23."""

from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import decoder, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads
from vramcast.sources.state_space import sane, scale, share

_APART = ("single", "fused")


@reads("xlstm")
def read_xlstm(config: Config) -> ModelSpec:
    """Matrix memories with exponential gates; projections apart, or joined where `weight_mode` is fused."""
    if config.raw("hidden_size") is None:
        config = config.renamed(hidden_size="embedding_dim")
    if config.raw("num_hidden_layers") is None:
        config = config.renamed(num_hidden_layers="num_blocks")
    mode = config.text("weight_mode", default="single")
    if mode not in _APART:
        raise config.wrong(("weight_mode",), " or ".join(_APART), mode)
    hidden, bias = config.size("hidden_size"), config.flag("use_bias")
    norm = Norm(NormKind.RMS, hidden, bias=bias)
    layer = Layer(
        mixer=_mlstm(config, fused=mode == "fused"),
        ffn=Dense(width=_mlp_width(config), bias=bias, fused_gate_up=mode == "fused"),
        norms=(norm, norm),
    )
    return decoder(config, layer, tied_head=False, final_norm=rms(hidden), logits_upcast=True, logits_capped=True)


def _mlp_width(config: Config) -> int:
    multiple = config.size("ffn_round_up_to_multiple_of", default=64)
    width = config.size("hidden_size") * config.number("ffn_proj_factor", default=2.667)
    return sane(config, int((width + multiple - 1) // multiple * multiple), "the MLP's width")


def _scaled(config: Config, key: str, default: float) -> int:
    return sane(config, int(config.size("hidden_size") * config.number(key, default=default)), f"hidden · {key}")


def _mlstm(config: Config, *, fused: bool) -> LinearAttention:
    hidden, heads, bias = config.size("hidden_size"), config.size("num_heads", default=8), config.flag("use_bias")
    keys, values = _scaled(config, "qk_dim_factor", 0.5), _scaled(config, "v_dim_factor", 1.0)
    inputs = _joined(hidden, heads, keys, values, bias) if fused else _apart(hidden, heads, keys, values, bias)
    norm_bias = (Weight("multihead_norm.bias", (values,), WeightKind.NORM),) if bias else ()
    return LinearAttention(
        variant=LinearKind.MLSTM,
        heads=heads,
        key_dim=share(config, keys, heads, "heads"),
        value_dim=share(config, values, heads, "heads"),
        state_fp32=False,
        parts=(*inputs, scale("multihead_norm", values), *norm_bias, *linear("out_proj", hidden, values, bias=bias)),
    )


def _apart(hidden: int, heads: int, keys: int, values: int, bias: bool) -> tuple[Weight, ...]:
    return (
        *linear("q", keys, hidden, bias=bias),
        *linear("k", keys, hidden, bias=bias),
        *linear("v", values, hidden, bias=bias),
        *linear("ogate_preact", values, hidden, bias=bias),
        *linear("igate_preact", heads, hidden, bias=True),
        *linear("fgate_preact", heads, hidden, bias=True),
    )


def _joined(hidden: int, heads: int, keys: int, values: int, bias: bool) -> tuple[Weight, ...]:
    return (
        *linear("qkv_opreact", 2 * keys + 2 * values, hidden, bias=bias),
        *linear("ifgate_preact", 2 * heads, hidden, bias=True),
    )
