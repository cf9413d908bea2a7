"""Mamba 1 and 2 and Falcon-Mamba: nothing but state-space layers. Checked against transformers 5.23."""

from vramcast.domain.errors import InputError
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import StateSpace
from vramcast.sources.common import decoder
from vramcast.sources.config import Config
from vramcast.sources.registry import reads
from vramcast.sources.state_space import alone, mamba1, mamba2, sane, time_step_rank


@reads("mamba", "falcon_mamba")
def read_mamba(config: Config) -> ModelSpec:
    """
    One mixer a block. Falcon-Mamba's norms on time step, B and C have no parameters.

    An `intermediate_size` in the file wins over `expand` (Falcon-Mamba-7B says 8192, and 16 times 4096).
    """
    given: int | None = config.size("intermediate_size", default=None)
    mixer = mamba1(
        config.size("hidden_size"),
        inner=given or _inner(config),
        state=config.size("state_size", default=16),
        rank=time_step_rank(config, "time_step_rank"),
        kernel=config.size("conv_kernel", default=4),
        bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )
    return _model(config, mixer, tied=True)


@reads("mamba2")
def read_mamba2(config: Config) -> ModelSpec:
    """One mixer a block; its heads share the inner width."""
    heads, head_dim = config.size("num_heads", default=128), config.size("head_dim", default=64)
    if heads * head_dim != _inner(config):
        raise InputError(f"{config.name}: {heads} heads of {head_dim} do not make an inner width of {_inner(config)}")
    bias = config.flag("use_bias")
    mixer = mamba2(
        config,
        heads=heads,
        head_dim=head_dim,
        state=config.size("state_size", default=128),
        groups=config.size("n_groups", default=8),
        kernel=config.size("conv_kernel", default=4),
        bias=bias,
        conv_bias=config.flag("use_conv_bias", default=True),
        out_bias=bias,
    )
    return _model(config, mixer, tied=False)


def _inner(config: Config) -> int:
    inner = config.size("expand", default=2) * config.size("hidden_size")
    return sane(config, inner, "the inner width")


def _model(config: Config, mixer: StateSpace, *, tied: bool) -> ModelSpec:
    kept = config.flag("residual_in_fp32", default=True)
    return decoder(
        config,
        alone(mixer, config.size("hidden_size")),
        tied=tied,
        logits_upcast=True,
        notes=("the residual stream that `residual_in_fp32` keeps in FP32",) if kept else (),
    )
