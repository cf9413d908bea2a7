"""Jamba: Mamba 1 blocks, every eighth attention, every second with a mixture. Checked against transformers 5.23."""

from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import StateSpace, StateSpaceKind
from vramcast.sources.common import dense, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import block_count, mamba1, sane, scale, time_step_rank


@reads("jamba")
def read_jamba(config: Config) -> ModelSpec:
    """Attention without positions where the index says so, else Mamba with norms on time step, B and C."""
    attends = _turn(config, "attn_layer", period=8, offset=4)
    mixes = _turn(config, "expert_layer", period=2, offset=1)
    norm = rms(config.size("hidden_size"))

    def layer(kind: tuple[bool, bool]) -> Layer:
        mixer = grouped_query(config, kv_heads=8, rotary=False) if kind[0] else _mamba(config)
        return Layer(mixer=mixer, ffn=_experts(config) if kind[1] else dense(config), norms=(norm, norm))

    return mixed_decoder(config, zip(attends, mixes, strict=True), layer)


def _turn(config: Config, key: str, *, period: int, offset: int) -> tuple[bool, ...]:
    every = config.size(f"{key}_period", default=period)
    first = config.count(f"{key}_offset", default=offset)
    if first >= every:
        raise InputError(f"{config.name}: `{key}_offset` must be smaller than `{key}_period`")
    return tuple(index % every == first for index in range(block_count(config)))


def _mamba(config: Config) -> StateSpace:
    hidden = config.size("hidden_size")
    state = config.size("mamba_d_state", default=16)
    rank = time_step_rank(config, "mamba_dt_rank")
    return mamba1(
        hidden,
        inner=sane(config, config.size("mamba_expand", default=2) * hidden, "the inner width"),
        state=state,
        rank=rank,
        kernel=config.size("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        variant=StateSpaceKind.JAMBA,
        extra=(scale("dt_norm", rank), scale("b_norm", state), scale("c_norm", state)),
    )


def _experts(config: Config) -> Dense | MixtureOfExperts:
    experts = config.size("num_experts", "num_local_experts", default=16)
    if experts == 1:
        return dense(config)
    visited = config.size("num_experts_per_tok", default=2)
    return mixture(config, experts=experts, top_k=visited, width=config.size("intermediate_size"))
