"""
The two things every part of a block gives: what it saves for backward, and what its backward allocates.

Letters: B micro-batch, T tokens per sequence, D hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.sizes import Sizes

HALF = 2
FULL = 4


class Saved(NamedTuple):
    """
    Bytes that an operator keeps for backward: `per_token`, times B · T, `per_pair`, times B · T², and `once`.

    `core` marks what lies inside attention, `past_hooks` what checkpointing does not see, so that it stays from the first forward pass on.
    """

    op: str
    formula: str
    per_token: int
    per_pair: int = 0
    core: bool = False
    once: int = 0
    past_hooks: bool = False

    @property
    def written(self) -> str:
        """The whole formula: times B · T, unless it is counted once."""
        return self.formula if self.once else f"B·T·({self.formula})"


class Rate(NamedTuple):
    """What several saved things come to: bytes per token, per token pair, and once."""

    per_token: int
    per_pair: int
    once: int

    def total(self, micro_batch: int, seq_len: int) -> int:
        """Bytes for B sequences of T tokens: B·T·per_token + B·T²·per_pair + once."""
        return micro_batch * seq_len * (self.per_token + seq_len * self.per_pair) + self.once


def rate(saved: Sequence[Saved]) -> Rate:
    """The sum of `saved`."""
    return Rate(sum(s.per_token for s in saved), sum(s.per_pair for s in saved), sum(s.once for s in saved))


@dataclass(frozen=True, slots=True)
class Segment:
    """
    A part of a block, in forward order, with the two moments of its backward that can be the worst.

    Attributes:
        name: what runs; saved: what it keeps; rate: the sum of it; past_hooks: the sum of what checkpointing does not see.
        output: bytes per token beyond `saved` while the output projection's backward runs, which is also when a quantised
            weight lies dequantised (`dequantized` elements of `laid_out` bytes).
        forward: bytes per token beyond `saved` while the output projection runs forward, forward_adapter: while its adapter
            does; they count where a block is recomputed.
        forward_sum: while the adapter's result is scaled and added.
        rerun: recomputing the block reaches the output projection, for it, or what follows, keeps something; followed: it
            goes on after that.
        forward_pairs: bytes per B · T² beyond `saved` while the softmax runs forward.
        inner: bytes per token beyond `saved` at the worst moment inside (the product's or the kernel's backward);
            inner_pairs: the same per B · T².
        inner_name, output_name: what runs then, and at the output projection's moment.
        once: bytes beyond `saved` at both moments that do not grow with the batch.
        weights: what the segment holds; writing: its output projection, whose gradients exist at both moments.
    """

    name: str
    saved: tuple[Saved, ...]
    output: int
    inner: int
    inner_name: str
    output_name: str = "output projection"
    forward: int = 0
    forward_adapter: int = 0
    forward_sum: int = 0
    rerun: bool = True
    followed: bool = True
    forward_pairs: int = 0
    inner_pairs: int = 0
    dequantized: int = 0
    laid_out: int = HALF
    once: int = 0
    weights: tuple[Weight, ...] = ()
    writing: tuple[Weight, ...] = ()
    rate: Rate = field(init=False)
    past_hooks: Rate = field(init=False)

    @property
    def passing(self) -> int:
        """Bytes per token that it allocates and frees again as it runs forward."""
        return max(self.forward, self.forward_adapter, self.forward_sum)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", rate([saved for saved in self.saved if not saved.past_hooks]))
        object.__setattr__(self, "past_hooks", rate([saved for saved in self.saved if saved.past_hooks]))


def multiplied(weights: Sequence[Weight]) -> int:
    """Parameters that autocast copies: it leaves the grouped products of fused experts alone."""
    kinds = (WeightKind.LINEAR, WeightKind.ROUTER, WeightKind.HEAD, WeightKind.SHARED)
    return sum(w.parameters for w in weights if w.kind in kinds)


class Projecting(NamedTuple):
    """Bytes per token, beyond what is saved, while an output projection runs forward, then its adapter, then their sum."""

    base: int
    adapter: int
    sum: int


def projecting(sizes: Sizes, name: str, width: int, itemsize: int, *, held: bool, norm_fp32: bool) -> Projecting:
    """
    What lives while the output projection `name` runs forward, beyond what it saves.

    Formula:  both: itemsize·w (its input, if nothing saves it) + s·D (the result) + s·D (the residual, if the norm saved a
              copy of it instead) + s·D (the branch's input, if frozen linears do not save it)
              base: s·w (bitsandbytes' cast of an FP32 input); 8-bit max(6·w - s·D, w + 6·D): FP16 cast, its magnitudes, where
              they are outliers, 8-bit values; then those and the product in int32 and FP16
              adapter: the copies that PEFT makes of its input, but for the last, which is kept
              sum: 2·s·D, the adapter's result and the same, scaled
    Source:   PEFT 0.21 tuners/lora/layer.py (_cast_input_dtype), bnb.py; bitsandbytes 0.50 Linear4bit; live storages of
              a real step on torch 2.13.
    """
    copies = _copies(sizes, itemsize) if name in sizes.adapted else []
    kept_input = sizes.trains_weights and not (sizes.autocast and itemsize != sizes.compute)
    size = sizes.branch * sizes.hidden
    if not (held or kept_input or (name in sizes.adapted and not copies)):
        size += itemsize * width
    if norm_fp32:
        size += sizes.stream * sizes.hidden
    if not sizes.trains_weights:
        size += sizes.stream * sizes.hidden
    if sizes.eight_bit:
        kept = width * copies[-1] if copies else 0  # by the adapter, which has not run yet
        cast = _eight_bit_product(sizes, width) - kept
    else:
        cast = sizes.compute * width if sizes.quantized and itemsize != sizes.compute else 0
    scaled = 2 * sizes.branch * sizes.hidden if name in sizes.adapted else 0
    return Projecting(size + cast, size + width * sum(copies[:-1]), size + scaled)


def _eight_bit_product(sizes: Sizes, width: int) -> int:
    quantising = 2 * HALF * width + 2 * width - sizes.branch * sizes.hidden
    return max(quantising, width + (FULL + HALF) * sizes.hidden)


def _copies(sizes: Sizes, itemsize: int) -> list[int]:
    """Item sizes of the copies of its input that an adapter makes: in its own type, after dropout, in autocast's type."""
    made = []
    if itemsize != sizes.adapter and not (sizes.quantized and sizes.autocast):
        itemsize = sizes.adapter
        made.append(itemsize)
    if sizes.adapter_dropout:
        made.append(itemsize)
    if sizes.autocast and itemsize != sizes.compute:
        made.append(sizes.compute)
    return made
