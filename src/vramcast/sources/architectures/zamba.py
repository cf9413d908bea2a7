"""
Zamba 1 and 2: state-space blocks, and transformer blocks whose weights serve again and again.

Checked against transformers 5.23.
"""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec, run_length
from vramcast.domain.recurrent import StateSpace, StateSpaceKind
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import decoder, rms
from vramcast.sources.config import Config
from vramcast.sources.registry import reads
from vramcast.sources.state_space import (
    HYBRID,
    RECURRENT,
    alone,
    bare,
    block_count,
    block_kinds,
    convolution,
    mamba2,
    sane,
    share,
    time_step_rank,
)

_LISTS = ("layers_block_type", "layer_types")
_ZAMBA2_DEPTH = 54
_NOTES = (
    "adapters on the shared transformer layers",
    "the input that full recomputation saves less where a hybrid block counts as two layers",
)


@reads("zamba")
def read_zamba(config: Config) -> ModelSpec:
    """A hybrid block is a transformer layer that all of them share, a matrix of its own, and a Mamba layer of its own."""
    period = config.size("attn_layer_period", default=6)
    offset = config.count("attn_layer_offset", default=4)

    def rule(index: int) -> str:
        return HYBRID if index == 2 or (index > 2 and (index - 3) % period == offset) else RECURRENT

    ffn = Dense(
        width=config.size("intermediate_size", default=14848), activation=config.text("hidden_act", default="gelu")
    )
    shared = _transformer(config, ffn, rotary=False)
    kinds = block_kinds(config, _LISTS, (RECURRENT, HYBRID), rule)
    return _model(config, kinds, _per_head_mamba(config), shared, (), blocks=1)


@reads("zamba2")
def read_zamba2(config: Config) -> ModelSpec:
    """The same with Mamba 2, `num_mem_blocks` shared layers in turn, and low-rank adapters that each use has to itself."""
    hidden = config.size("hidden_size")
    ffn = Dense(
        width=config.size("intermediate_size", default=4 * hidden),
        bias=config.flag("add_bias_linear"),
        fused_gate_up=True,
        activation=config.text("hidden_act", default="gelu"),
    )
    shared = _transformer(config, ffn, rotary=config.flag("use_mem_rope"))
    if config.raw(*_LISTS) is None and block_count(config) != _ZAMBA2_DEPTH:
        raise config.wrong(_LISTS, f"a list, but in a model of {_ZAMBA2_DEPTH} blocks", None)
    kinds = block_kinds(config, _LISTS, (RECURRENT, HYBRID), _zamba2_rule)
    return _model(
        config, kinds, _mamba2(config), shared, _adapters(config, ffn), blocks=config.size("num_mem_blocks", default=1)
    )


def _zamba2_rule(index: int) -> str:
    return HYBRID if index in {6, 12, 18, 24, 30, 36, 42, 47, 51} else RECURRENT


def _transformer(config: Config, ffn: Dense, *, rotary: bool) -> Layer:
    """Attention over the hidden state beside the token embedding, twice the hidden size, and a plain MLP behind it."""
    hidden = config.size("hidden_size")
    heads = config.size("num_attention_heads")
    groups = config.size("num_key_value_heads", default=heads)
    share(config, heads, groups, "key/value heads")
    head_dim = config.size("attention_head_dim", default=None) or share(config, 2 * hidden, heads, "heads")
    if config.size("attention_hidden_size", default=2 * hidden) != 2 * hidden:
        raise InputError(f"{config.name}: `attention_hidden_size` must be twice the hidden size of {hidden}")
    attention = Attention(heads=heads, kv_heads=groups, head_dim=head_dim, input_width=2 * hidden, rotary=rotary)
    return Layer(mixer=attention, ffn=ffn, norms=(rms(2 * hidden), rms(hidden)))


def _adapters(config: Config, ffn: Dense) -> tuple[Weight, ...]:
    hidden, rank = config.size("hidden_size"), config.size("adapter_rank", default=128)
    names = ("q", "k", "v") if config.flag("use_shared_attention_adapter") else ()
    pairs = [(f"linear_{name}_adapter", 2 * hidden, 2 * hidden) for name in names]
    pairs.append(("gate_up_proj_adapter", hidden, 2 * ffn.width))
    return tuple(
        weight
        for name, width, writes in pairs
        for weight in (*linear(f"{name}.0", rank, width), *linear(f"{name}.1", writes, rank))
    )


def _model(
    config: Config,
    kinds: tuple[str, ...],
    mamba: StateSpace,
    shared: Layer,
    adapters: tuple[Weight, ...],
    *,
    blocks: int,
) -> ModelSpec:
    """transformers ties the uses of a shared layer together with the embeddings: without that each is a layer apart."""
    hidden = config.size("hidden_size")
    tied = config.flag("tie_word_embeddings", default=True)
    uses = kinds.count(HYBRID)
    layers = iter([_use(shared, adapters, hidden, use, uses, blocks, tied=tied) for use in range(uses)])
    plain = alone(mamba, hidden)
    order = (layer for kind in kinds for layer in ((next(layers), plain) if kind == HYBRID else (plain,)))
    return decoder(config, run_length(order), tied=True, final_norm=rms(hidden), notes=_NOTES)


def _use(
    shared: Layer, adapters: tuple[Weight, ...], hidden: int, use: int, uses: int, blocks: int, *, tied: bool
) -> Layer:
    """The shared layer as the hybrid block number `use` of `uses` runs it, with the matrix behind it."""
    fellows = len(range(use % blocks, uses, blocks))
    matrix = linear("linear", hidden, hidden)
    if not tied:
        return replace(shared, extra=(*matrix, *adapters * fellows))
    if fellows > 1:
        adapters = tuple(replace(adapter, kind=WeightKind.SHARED) for adapter in adapters)
    extra = (*matrix, *adapters)
    return replace(shared, shares_weights=use >= blocks, lends_weights=use < blocks and fellows > 1, extra=extra)


def _per_head_mamba(config: Config) -> StateSpace:
    """Mamba 1 whose heads each have projections of their own for time step, B and C; those are bare parameters."""
    hidden = config.size("hidden_size")
    inner = sane(config, config.size("mamba_expand", default=2) * hidden, "the inner width")
    heads = config.size("n_mamba_heads", default=2)
    width = share(config, inner, heads, "Mamba heads")
    state, rank = config.size("mamba_d_state", default=16), time_step_rank(config, "mamba_dt_rank")
    kernel = config.size("mamba_d_conv", default=4)
    bias = config.flag("mamba_proj_bias")
    parts = (
        *linear("in_proj", 2 * inner, hidden, bias=bias),
        *convolution(inner, kernel, bias=config.flag("mamba_conv_bias", default=True)),
        bare("x_proj", heads, rank + 2 * state, width),
        bare("dt_proj", heads, width, rank),
        bare("dt_proj.bias", heads, width),
        bare("A_log", heads, width, state),
        bare("D", heads, width),
        *linear("out_proj", hidden, inner, bias=bias),
    )
    return StateSpace(
        variant=StateSpaceKind.ZAMBA,
        inner=inner,
        state=state,
        conv_width=inner,
        tail=kernel,
        heads=heads,
        dt_rank=rank,
        parts=parts,
    )


def _mamba2(config: Config) -> StateSpace:
    inner = sane(config, config.size("mamba_expand", default=2) * config.size("hidden_size"), "the inner width")
    heads = config.size("n_mamba_heads", default=8)
    bias = config.flag("add_bias_linear")
    return mamba2(
        config,
        heads=heads,
        head_dim=share(config, inner, heads, "Mamba heads"),
        state=config.size("mamba_d_state", default=64),
        groups=config.size("mamba_ngroups", default=1),
        kernel=config.size("mamba_d_conv", default=4),
        bias=bias,
        conv_bias=True,
        out_bias=bias,
    )
