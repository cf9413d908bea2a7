"""The gated delta net that Qwen and OLMo share."""

from dataclasses import dataclass

from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import Weight, linear
from vramcast.sources.config import Config
from vramcast.sources.state_space import bare, convolution, sane, scale, share


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSizes:
    """Heads and head widths of keys and values."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int

    @property
    def keys(self) -> int:
        """Width of all keys."""
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        """Width of all values."""
        return self.value_heads * self.value_dim


def delta_sizes(
    config: Config, *, key_heads: int = 16, value_heads: int = 32, key_dim: int = 128, value_dim: int | None = None
) -> DeltaSizes:
    """
    The sizes under Qwen's keys; the arguments are the family's defaults, the value width's is the key width.

    Raises:
        InputError: key heads do not divide the value heads.
    """
    sizes = DeltaSizes(
        key_heads=config.size("linear_num_key_heads", default=key_heads),
        value_heads=config.size("linear_num_value_heads", default=value_heads),
        key_dim=config.size("linear_key_head_dim", default=key_dim),
        value_dim=config.size("linear_value_head_dim", default=value_dim or key_dim),
    )
    share(config, sizes.value_heads, sizes.key_heads, "key heads")
    sane(config, 2 * sizes.keys + sizes.values, "the convolution's width")
    return sizes


def delta_net(
    config: Config,
    sizes: DeltaSizes,
    inputs: tuple[Weight, ...],
    *,
    norm: str = "norm",
    out: str = "out_proj",
) -> LinearAttention:
    """A gated delta net with these input projections; queries, keys and values pass one convolution."""
    channels = 2 * sizes.keys + sizes.values
    kernel = config.size("linear_conv_kernel_dim", default=4)
    parts = (
        *inputs,
        *convolution(channels, kernel, bias=False),
        bare("dt_bias", sizes.value_heads),
        bare("A_log", sizes.value_heads),
        scale(norm, sizes.value_dim),
        *linear(out, config.size("hidden_size"), sizes.values),
    )
    return LinearAttention(
        variant=LinearKind.GATED_DELTA_NET,
        heads=sizes.value_heads,
        key_dim=sizes.key_dim,
        value_dim=sizes.value_dim,
        key_heads=sizes.key_heads,
        conv_width=channels,
        tail=kernel,
        parts=parts,
    )
