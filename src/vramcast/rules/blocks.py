"""
The blocks of a model under a run: what each keeps between forward and backward, and the worst moment of their backward.

Letters: B micro-batch, T tokens per sequence, L layers, D hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vramcast.domain.layer import Attention, LatentAttention, LayerRun
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Method, Recompute, TrainRun
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.adapters import adapted_weights
from vramcast.rules.attention_kernel import is_masked, resolve_attention
from vramcast.rules.saved.block import block_segments
from vramcast.rules.saved.ops import Segment, total
from vramcast.rules.sizes import Sizes, sizes_of

MULTIPLIED = (WeightKind.LINEAR, WeightKind.ROUTER, WeightKind.EXPERTS, WeightKind.HEAD)


@dataclass(frozen=True, slots=True)
class Block:
    """
    `count` equal blocks in a row.

    `saved` are the bytes one of them saves when it runs, `kept` what stays of them until its backward (its input alone
    when it is recomputed), `parameters` its trainable elements, `casts` the elements that autocast copies.
    """

    count: int
    segments: tuple[Segment, ...]
    saved: int
    kept: int
    parameters: int
    casts: int
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Moment:
    """
    A moment of one block's backward.

    `layer` counts from 1. `before` is what earlier blocks still keep, `own` what this one holds, `extra` what its backward
    allocates, `dequantized` a quantised weight laid out whole, `gradients` and `casts` are elements.
    """

    layer: int
    block: Block
    name: str
    before: int
    own: int
    extra: int
    dequantized: int
    gradients: int
    casts: int

    def bytes(self, gradient_itemsize: int) -> int:
        """Everything of this moment that changes from block to block."""
        varying = self.before + self.own + self.extra + self.dequantized
        return varying + gradient_itemsize * self.gradients + 2 * self.casts


def lay_out(model: ModelSpec, run: TrainRun, capability: tuple[int, int] | None) -> tuple[Block, ...]:
    """The model's blocks with the attention kernel that each would get on a device of this compute capability."""
    adapted: frozenset[str] = frozenset()
    if run.adapter is not None:
        adapted = frozenset(w.name for w in adapted_weights(model.weights, run.adapter.targets))
    base = sizes_of(model, run, adapted)
    return tuple(_block(layers, weights, run, base, capability) for layers, weights in model.layer_weights)


def _block(
    layers: LayerRun,
    weights: tuple[Weight, ...],
    run: TrainRun,
    base: Sizes,
    capability: tuple[int, int] | None,
) -> Block:
    mixer = layers.layer.mixer
    sizes, masked = base, False
    if isinstance(mixer, Attention | LatentAttention):
        kernel = resolve_attention(run.attention, mixer, run.seq_len, base.core, capability)
        sizes, masked = base.with_attention(kernel), is_masked(mixer, run.seq_len)
    recomputed = run.recompute is Recompute.FULL
    segments = block_segments(layers.layer, sizes, masked, recomputed)
    saved = sum(total(segment.saved, run.micro_batch, run.seq_len) for segment in segments)
    return Block(
        count=layers.count,
        segments=segments,
        saved=saved,
        kept=sizes.stream * sizes.hidden * run.tokens if recomputed else saved,
        parameters=sum(w.parameters for w in weights) if run.method is Method.FULL else 0,
        casts=sum(w.parameters for w in weights if w.kind in MULTIPLIED) if run.precision.is_amp else 0,
        sizes=sizes,
    )


def worst_moment(blocks: Sequence[Block], run: TrainRun, done: int, gradient_itemsize: int) -> Moment | None:
    """
    The worst moment over all blocks' backward; `done` are the elements whose gradients exist before the last block's.

    Within a run of equal blocks the sum is linear in the position, so only its first and last block can be the worst.
    """
    layer = sum(block.count for block in blocks)
    before = sum(block.count * block.kept for block in blocks)
    casts = sum(block.count * block.casts for block in blocks)
    worst: Moment | None = None
    for block in reversed(blocks):
        for above in {0, block.count - 1}:
            for moment in _moments(
                block,
                run,
                layer=layer - above,
                before=before - (above + 1) * block.kept,
                gradients=done + above * block.parameters,
                casts=casts - above * block.casts,
            ):
                if worst is None or moment.bytes(gradient_itemsize) > worst.bytes(gradient_itemsize):
                    worst = moment
        layer -= block.count
        before -= block.count * block.kept
        casts -= block.count * block.casts
        done += block.count * block.parameters
    return worst


def _moments(block: Block, run: TrainRun, *, layer: int, before: int, gradients: int, casts: int) -> list[Moment]:
    recomputed = run.recompute is Recompute.FULL
    held = block.saved
    moments = []
    for segment in reversed(block.segments):
        output = (run.tokens * segment.output, segment.dequantized * block.sizes.compute)
        inner = (run.tokens * (segment.inner + run.seq_len * segment.inner_pairs), 0)
        candidates = [("output projection", *output), (segment.inner_name, *inner)]
        if recomputed:
            candidates.append(("recomputing", run.tokens * segment.forward, output[1]))
        for name, extra, dequantized in candidates:
            moments.append(
                Moment(
                    layer=layer,
                    block=block,
                    name=name,
                    before=before + (block.kept if recomputed else 0),
                    own=held,
                    extra=extra,
                    dequantized=dequantized,
                    gradients=gradients + (segment.output_grads if block.parameters else 0),
                    casts=block.casts if recomputed else casts,
                )
            )
        held -= total(segment.saved, run.micro_batch, run.seq_len)
        gradients += segment.parameters if block.parameters else 0
    return moments
