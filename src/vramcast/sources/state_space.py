"""Pieces that the readers of recurrent and hybrid families share."""

from collections.abc import Callable, Iterable

from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.recurrent import StateSpace, StateSpaceKind
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.config import LARGEST, Config
from vramcast.sources.moe_common import words_by_layer

FULL = "full_attention"
RECURRENT = "linear_attention"
HYBRID = "hybrid"
_OLD_WORDS = {"attention": FULL, "mamba": RECURRENT}


def block_kinds(
    config: Config, keys: tuple[str, ...], allowed: Iterable[str], rule: Callable[[int], str]
) -> tuple[str, ...]:
    """
    The kind of each block, in today's words: as the first of `keys` lists them, else by the family's rule on an index.

    Raises:
        InputError: the list has another length than the model, or holds a word that is not allowed.
    """
    key = next((key for key in keys if config.raw(key) is not None), keys[0])
    known = tuple(allowed)
    old = tuple(word for word, new in _OLD_WORDS.items() if new in known)
    return tuple(_OLD_WORDS.get(word, word) for word in words_by_layer(config, key, (*known, *old), rule))


def block_count(config: Config) -> int:
    """Number of blocks."""
    return config.size("num_hidden_layers")


def share(config: Config, whole: int, parts: int, what: str) -> int:
    """whole / parts. Raises InputError if that is not a whole number."""
    if whole % parts:
        raise InputError(f"{config.name}: {parts} {what} do not divide a width of {whole}")
    return whole // parts


def sane(config: Config, width: int, what: str) -> int:
    """`width`, a size that was computed. Raises InputError unless it lies between 1 and 2⁴⁰."""
    if not 1 <= width <= LARGEST:
        raise InputError(f"{config.name}: {what} comes out as {width:.6g}, which is no size")
    return width


def time_step_rank(config: Config, key: str) -> int:
    """Rank of Mamba 1's time step: hidden / 16, rounded up, unless the config names a number."""
    if config.raw(key) in (None, "auto"):
        return -(-config.size("hidden_size") // 16)
    return config.size(key)


def head_width(config: Config, key: str, inner: int, heads: int) -> int:
    """
    Features of one of Mamba 2's heads: inner / heads.

    Raises:
        InputError: heads do not divide the inner width, or the config names another number.
    """
    width = share(config, inner, heads, "Mamba heads")
    if config.raw(key) not in (None, "auto") and config.size(key) != width:
        raise config.wrong((key,), f"{width}, the inner width of {inner} by {heads} heads", config.raw(key))
    return width


def convolution(width: int, kernel: int, *, bias: bool, name: str = "conv1d") -> tuple[Weight, ...]:
    """A convolution over each of `width` channels alone."""
    weight = Weight(name, (width, 1, kernel), WeightKind.CONV)
    return (weight, Weight(f"{name}.bias", (width,), WeightKind.BIAS)) if bias else (weight,)


def bare(name: str, *shape: int) -> Weight:
    """A parameter that belongs to no linear, norm or convolution."""
    return Weight(name, shape, WeightKind.OTHER)


def scale(name: str, width: int) -> Weight:
    """The scale of a norm inside a mixer."""
    return Weight(name, (width,), WeightKind.NORM)


def mamba1(
    hidden: int,
    *,
    inner: int,
    state: int,
    rank: int,
    kernel: int,
    bias: bool,
    conv_bias: bool,
    variant: StateSpaceKind = StateSpaceKind.MAMBA,
    extra: tuple[Weight, ...] = (),
) -> StateSpace:
    """Mamba 1: one state of S for each of I channels; time step, B and C projected from the channels."""
    parts = (
        *linear("in_proj", 2 * inner, hidden, bias=bias),
        *convolution(inner, kernel, bias=conv_bias),
        *linear("x_proj", rank + 2 * state, inner),
        *linear("dt_proj", inner, rank, bias=True),
        bare("A_log", inner, state),
        bare("D", inner),
        *linear("out_proj", hidden, inner, bias=bias),
        *extra,
    )
    return StateSpace(
        variant=variant, inner=inner, state=state, conv_width=inner, tail=kernel, dt_rank=rank, parts=parts
    )


def mamba2(
    config: Config,
    *,
    heads: int,
    head_dim: int,
    state: int,
    groups: int,
    kernel: int,
    bias: bool,
    conv_bias: bool,
    out_bias: bool,
    gated_norm: bool = True,
) -> StateSpace:
    """
    Mamba 2: one state of H · S for each of N heads; z, x, B, C and dt come from one projection.

    Raises:
        InputError: groups do not divide the heads.
    """
    share(config, heads, groups, "groups of Mamba heads")
    hidden, inner = config.size("hidden_size"), heads * head_dim
    channels = inner + 2 * groups * state
    parts = (
        *linear("in_proj", inner + channels + heads, hidden, bias=bias),
        *convolution(channels, kernel, bias=conv_bias),
        bare("dt_bias", heads),
        bare("A_log", heads),
        bare("D", heads),
        *((scale("norm", inner),) if gated_norm else ()),
        *linear("out_proj", hidden, inner, bias=out_bias),
    )
    return StateSpace(
        variant=StateSpaceKind.MAMBA2,
        inner=inner,
        state=state,
        conv_width=channels,
        tail=kernel,
        heads=heads,
        parts=parts,
    )


def alone(mixer: Mixer, width: int) -> Layer:
    """A block of one mixer behind an RMS norm."""
    return Layer(mixer=mixer, ffn=None, norms=(Norm(NormKind.RMS, width),))
