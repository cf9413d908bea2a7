"""
One training step as it repeats: the named instants that compete for the peak, and the terms alive at each.

Letters: B micro-batch, T tokens per sequence, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vramcast.domain.device import Device
from vramcast.domain.forecast import Category, Instant, Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Loss, Method, TrainRun
from vramcast.domain.stack import Stack
from vramcast.rules.activations import (
    before_blocks,
    block_gradients,
    dequantized_weight,
    earlier_blocks,
    kept_activations,
    last_hidden_state,
    own_block,
    stream_gradient,
)
from vramcast.rules.beyond import refuse
from vramcast.rules.block_backward import worst_moment
from vramcast.rules.blocks import Block
from vramcast.rules.edges import final_norm_backward, last_block_forward
from vramcast.rules.gradients import accumulation, gradients
from vramcast.rules.logits import FP32, backward_logits, forward_logits, held_logits, projection_backward
from vramcast.rules.optimizer import master_gradients, paged_bytes, state_itemsize, step_temporaries
from vramcast.rules.parameters import cached_casts
from vramcast.rules.scene import Scene, set_scene
from vramcast.rules.workspace import embedding_backward


class TrainStep(NamedTuple):
    """The instants of a step, bytes of paged states, and the bound without reuse between categories."""

    instants: tuple[Instant, ...]
    paged: int
    no_reuse: int


def train_step(model: ModelSpec, run: TrainRun, stack: Stack, device: Device | None) -> TrainStep:
    """
    The instants of one training step in steady state (moments exist, gradients start at None unless accumulated).

    The peak is the largest instant, not a sum of maxima: logits are gone when blocks run backward, activations are gone when
    the optimizer steps.

    Raises:
        InputError: an adapter target names no linear layer.
        UnsupportedError: no rule says what a layer keeps for its backward, or what the run does beside its steps.
    """
    refuse(run)
    scene = set_scene(model, run, stack, device)
    instants = (*(_passes(scene) if scene.blocks else ()), _optimizer_step(scene))
    return TrainStep(instants, paged_bytes(scene.group, run.optimizer), _without_reuse(instants, scene))


def _passes(scene: Scene) -> Iterator[Instant]:
    """The instants of forward and backward."""
    kept = kept_activations(scene)
    if not scene.recomputes:
        casts = _casts(scene.casts_of_blocks, Phase.FORWARD)
        held = (*scene.resident, *casts, *scene.masks)
        yield _instant(Phase.FORWARD, "forward of the last block", *held, *last_block_forward(scene))
    logits = forward_logits(scene.head, scene.run.loss)
    name, casts = "end of forward, loss computed", _casts(scene.casts, Phase.FORWARD)
    masks = scene.masks if scene.recomputes else ()
    yield _instant(Phase.FORWARD, name, *scene.resident, *masks, *casts, kept, *last_hidden_state(scene), logits)
    held = (*scene.resident, *masks, *_casts(scene.casts_held, Phase.BACKWARD), kept)
    logits = backward_logits(scene.head, scene.run.loss)
    yield _instant(Phase.BACKWARD, "backward of the loss", *held, logits, idle=_idle_at_loss(scene))
    projection = projection_backward(scene.head, scene.run.loss)
    if projection is not None:
        grads = _gradients(scene, scene.head_parameters, scene.head_parameters)
        yield _instant(Phase.BACKWARD, "backward of the output projection", *held, projection, grads)
    held_on = held_logits(scene.head, scene.run.loss)
    behind = (*masks, held_on) if held_on else masks
    norm = final_norm_backward(scene)
    if norm is not None:
        casts = _casts(scene.casts_of_blocks, Phase.BACKWARD)
        grads = _gradients(scene, scene.head_parameters)
        name = "backward of the final norm"
        yield _instant(Phase.BACKWARD, name, *scene.resident, *casts, *behind, *norm, grads)
    yield _block_backward(scene, behind)
    if scene.run.method is Method.FULL:
        yield _embedding_backward(scene, behind)


def _instant(phase: Phase, name: str, *terms: Term, idle: int = 0) -> Instant:
    return Instant(phase=phase, name=name, terms=terms, idle=idle)


def _casts(count: int, phase: Phase) -> tuple[Term, ...]:
    return (cached_casts(count, phase),) if count else ()


def _gradients(scene: Scene, count: int, fresh: int = 0) -> Term:
    """Those of `count` elements; where micro-batches are summed, the `fresh` ones of this one beside their sum."""
    if scene.accumulates:
        return accumulation(fresh, scene.gradient)
    return gradients(count, scene.gradient, Phase.BACKWARD)


def _block_backward(scene: Scene, behind: tuple[Term, ...]) -> Instant:
    fresh = scene.gradient if scene.accumulates else 0
    moment = worst_moment(scene.blocks, scene.run, scene.head_parameters, scene.growing, fresh)
    return _instant(
        Phase.BACKWARD,
        f"backward of block {moment.layer} of {scene.model.num_layers} ({moment.name})",
        *scene.resident,
        *_casts(moment.casts, Phase.BACKWARD),
        *behind,
        *before_blocks(scene),
        *earlier_blocks(scene, moment),
        own_block(scene, moment),
        block_gradients(scene, moment),
        *dequantized_weight(moment),
        _gradients(scene, moment.gradients, moment.fresh),
        idle=moment.idle,
    )


def _embedding_backward(scene: Scene, behind: tuple[Term, ...]) -> Instant:
    beside = scene.model.tied_head and not scene.accumulates
    term = embedding_backward(scene.model, scene.run.tokens, scene.gradient, beside=beside)
    grads = _gradients(scene, scene.group.total, scene.model.vocab_size * scene.head.hidden)
    held = (*scene.resident, *behind, stream_gradient(scene))
    return _instant(Phase.BACKWARD, "backward of the embedding", *held, term, grads)


def _optimizer_step(scene: Scene) -> Instant:
    run, group = scene.run, scene.group
    state = state_itemsize(run, scene.gradient)
    terms = [*scene.resident]
    if not scene.accumulates:
        terms.append(gradients(group.total, scene.gradient, Phase.OPTIMIZER_STEP))
    terms.extend(t for t in (step_temporaries(group, run, state), master_gradients(group, run)) if t)
    return _instant(Phase.OPTIMIZER_STEP, "optimizer step", *terms)


def _idle_at_loss(scene: Scene) -> int:
    """
    Bytes that lie freed and useless while stock cross-entropy runs backward, whose tensors are larger than any of them.

    Formula:  s·n·V (the half-precision logits, if nobody holds them) + what one block allocated and freed running forward
    Source:   torch CUDACachingAllocator.cpp: a freed segment stays, and serves only requests that fit into it.
    Ignores:  a vocabulary so small that the blocks' own tensors are larger than the logits.
    """
    head = scene.head
    if scene.run.loss is not Loss.STOCK:
        return 0
    logits = head.itemsize * head.tokens * head.vocab if head.itemsize < FP32 and not head.held else 0
    return logits + max(_passing(scene, block) for block in scene.blocks)


def _passing(scene: Scene, block: Block) -> int:
    """What one block allocates and frees again as it runs forward."""
    return max(block.passing, default=0) + (sum(block.saved) if scene.recomputes else 0)


def _without_reuse(instants: Sequence[Instant], scene: Scene) -> int:
    """
    Bytes reserved if no category reused another's segments, no part of a block another part's, and no pass the other's.

    Formula:  resident + Σ_categories largest instant + the most that lies idle + Σ_segments of one block, running forward,
              and once more, running backward (what it allocates and frees) - the largest
    A bound, not an estimate: the allocator does reuse freed segments, but cannot always.
    """
    largest: dict[Category, int] = {}
    for instant in instants:
        sums: dict[Category, int] = {}
        for term in instant.terms[len(scene.resident) :]:
            sums[term.category] = sums.get(term.category, 0) + term.bytes
        for category, size in sums.items():
            largest[category] = max(largest.get(category, 0), size)
    apart = max((2 * sum(block.passing) - max(block.passing, default=0) for block in scene.blocks), default=0)
    idle = max(instant.idle for instant in instants)
    return sum(term.bytes for term in scene.resident) + sum(largest.values()) + idle + apart
