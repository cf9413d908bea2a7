"""
The worst moment of all blocks' backward.

Letters: B micro-batch, T tokens per sequence.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vramcast.domain.run import Method, Recompute, TrainRun
from vramcast.rules.blocks import Block

CAST = 2  # bytes of an element that autocast copied


class Moment(NamedTuple):
    """
    A moment of one block's backward.

    `layer` counts from 1; `segments` is how many of the block's segments still hold what they saved. `before` is what
    earlier blocks (and this one's kept input) hold, `own` what this block saved, `extra` what its backward allocates (`once` of it whatever the batch),
    `dequantized` a quantised weight laid out whole, `idle` what earlier segments allocated and freed in pieces too small for
    this one; `gradients` and `casts` are elements, `fresh` those of a gradient that has just been made.
    """

    layer: int
    block: Block
    segments: int
    name: str
    before: int
    own: int
    extra: int
    once: int
    dequantized: int
    idle: int
    gradients: int
    casts: int
    fresh: int

    def bytes(self, growing: int, fresh: int) -> int:
        """Everything of this moment that changes from block to block, with the bytes of an element of both gradients."""
        varying = self.before + self.own + self.extra + self.dequantized
        return varying + growing * self.gradients + fresh * self.fresh + CAST * self.casts


class _Place(NamedTuple):
    """Where a block stands: its number, and what the others hold when its backward begins."""

    layer: int
    before: int
    gradients: int
    casts: int


def worst_moment(blocks: Sequence[Block], run: TrainRun, done: int, growing: int, fresh: int) -> Moment:
    """
    The worst moment over all blocks' backward; `done` are the elements whose gradients exist before the last block's.

    `growing` are the bytes that a gradient's element adds for good, `fresh` those that it adds only until it is summed.

    Within a run of equal blocks the sum is linear in the position, so only its first and last block can be the worst. What
    a block adds itself is the same wherever it stands, so of each kind only the place where the others hold most can be.
    """
    casts = 0 if run.recompute is Recompute.FULL else CAST
    worst: dict[int, tuple[int, Block, _Place]] = {}
    for block, place in _places(blocks, done):
        others = place.before + growing * place.gradients + casts * place.casts
        kind = id(block.segments)
        if kind not in worst or others > worst[kind][0]:
            worst[kind] = (others, block, place)
    candidates = (moment for _, block, place in worst.values() for moment in _moments(block, run, place))
    return max(candidates, key=lambda moment: moment.bytes(growing, fresh))


def _places(blocks: Sequence[Block], done: int) -> Iterator[tuple[Block, _Place]]:
    layer = sum(block.layers for block in blocks)
    before = sum(block.layers * block.kept for block in blocks)
    casts = sum(block.layers * block.casts for block in blocks)
    for block in reversed(blocks):
        for above in {0, block.layers - 1}:
            yield (
                block,
                _Place(
                    layer - above,
                    before - (above + 1) * block.kept,
                    done + above * block.parameters,
                    casts - above * block.casts,
                ),
            )
        layer -= block.layers
        before -= block.layers * block.kept
        casts -= block.layers * block.casts
        done += block.layers * block.parameters


class _Worst(NamedTuple):
    """A moment of a segment by itself: bytes beyond `own`, those of them that do not grow, a weight laid out, gradients, casts."""

    name: str
    extra: int
    once: int
    dequantized: int
    gradients: int
    fresh: int
    casts: int


def _moments(block: Block, run: TrainRun, place: _Place) -> Iterator[Moment]:
    """Those of every segment, the last first: its backward, and the recomputation that reaches it."""
    recomputed = run.recompute is Recompute.FULL
    casts = block.casts if recomputed else place.casts
    full = run.method is Method.FULL
    gradients = place.gradients + (0 if full else block.parameters - sum(one.whole for one in block.trained))
    for index in range(len(block.segments) - 1, -1, -1):
        own, idle = sum(block.saved[: index + 1]), sum(block.passing[:index])
        gone = sum(block.past_hooks[index + 1 :])
        before = place.before + (block.kept - gone if recomputed else 0)
        found = _backward(block, run, index, gradients, casts)
        if recomputed:
            found += _recomputing(block, run, index, place.gradients, casts)
        for one in found:
            yield Moment(
                layer=place.layer,
                block=block,
                segments=index + 1,
                name=one.name,
                before=before,
                own=own,
                extra=one.extra,
                once=one.once,
                dequantized=one.dequantized,
                idle=idle,
                gradients=one.gradients,
                casts=one.casts,
                fresh=one.fresh,
            )
        gradients += block.trained[index].whole
        casts -= block.trained[index].copied


def _backward(block: Block, run: TrainRun, index: int, gradients: int, casts: int) -> list[_Worst]:
    """
    A segment's output projection and its inside.

    The older checkpointing holds the block's output while the block's own backward runs.
    """
    segment, trained = block.segments[index], block.trained[index]
    held = segment.once + (_stream(block, run) if run.reentrant else 0)
    output = run.tokens * segment.output + held
    inner = run.tokens * (segment.inner + run.seq_len * segment.inner_pairs) + held
    weight = segment.dequantized * segment.laid_out
    exist, fresh = gradients + trained.writing, trained.writing if run.method is Method.FULL else 0
    return [
        _Worst(segment.output_name, output, segment.once, weight, exist, fresh, casts),
        _Worst(segment.inner_name, inner, segment.once, 0, exist, 0, casts - trained.copied_writing),
    ]


def _recomputing(block: Block, run: TrainRun, index: int, gradients: int, casts: int) -> list[_Worst]:
    """
    The block run forward again up to a segment; none of the block's gradients exist yet.

    It ends with the last tensor that is kept; the older checkpointing runs all of it.
    """
    segment = block.segments[index]
    again = sum(block.rerun[: index + 1]) - sum(block.saved[: index + 1])
    product = 0 if block.sizes.eight_bit else segment.dequantized * segment.laid_out

    def at(width: int, dequantized: int = 0) -> _Worst:
        return _Worst("recomputing", again + run.tokens * width, 0, dequantized, gradients, 0, casts)

    found = []
    if segment.rerun or run.reentrant:
        found += [at(segment.forward, product), at(segment.forward_adapter)]
    if segment.followed or run.reentrant:
        found.append(at(segment.forward_sum))
    return found


def _stream(block: Block, run: TrainRun) -> int:
    return run.tokens * block.sizes.stream * block.sizes.hidden
