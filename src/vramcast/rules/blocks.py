"""
The blocks of a model under a run: what each saves, and what it keeps between forward and backward.

Letters: B micro-batch, T tokens per sequence, L layers, D hidden.
"""

from typing import NamedTuple

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.layer import LayerRun
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Method, Recompute, TrainRun
from vramcast.domain.weights import Weight
from vramcast.rules.adapters import Adapted, adapted, adapters_of
from vramcast.rules.attention_kernel import is_masked, resolve_attention
from vramcast.rules.saved.block import block_segments
from vramcast.rules.saved.ops import FULL, Segment, multiplied
from vramcast.rules.sizes import Sizes, sizes_of


class Trained(NamedTuple):
    """Elements of a segment that get gradients, and those of its output projection; copies that autocast makes of both."""

    whole: int
    writing: int
    copied: int
    copied_writing: int


class Block(NamedTuple):
    """
    `layers` equal blocks in a row.

    `saved` are the bytes that each segment of one of them saves when it runs, `rerun` those while it is recomputed, `past_hooks`
    those that recomputing does not spare, `kept` what stays of the block until its backward (its input when it is recomputed, and
    what checkpointing does not see), `parameters` its trainable elements, those of adapters among them, `casts`
    the elements that autocast copies, `frozen_casts` those of them that are not trained, `passing` the bytes that each segment allocates and frees again as it runs forward,
    `trained` what of each segment is trained.
    """

    layers: int
    segments: tuple[Segment, ...]
    saved: tuple[int, ...]
    rerun: tuple[int, ...]
    past_hooks: tuple[int, ...]
    kept: int
    parameters: int
    casts: int
    frozen_casts: int
    passing: tuple[int, ...]
    trained: tuple[Trained, ...]
    sizes: Sizes


def leaf_input(run: TrainRun) -> bool:
    """
    Whether what the first block reads needs no gradient, so that its first norm keeps nothing.

    Source: frozen embeddings; PEFT and transformers make inputs require gradients only where blocks are recomputed.
    """
    return run.method is not Method.FULL and run.recompute is not Recompute.FULL


def lay_out(model: ModelSpec, run: TrainRun, capability: tuple[int, int] | None, *, leaf: bool) -> tuple[Block, ...]:
    """
    The model's blocks with the attention kernel that each would get on a device of this compute capability.

    `leaf`: what the first of them reads needs no gradient.
    Ignores: that below adapters on some of the first block's linears only, the others keep nothing there either.
    """
    base = sizes_of(model, run)
    found: Adapted | None = None
    if run.adapter is not None:
        found = adapted(model, run.adapter.targets)
        linears, experts = (w.name for w in found.linears), (w.name for w, _ in found.experts)
        base = sizes_of(model, run, frozenset(linears), frozenset(experts))
    made: dict[int, Block] = {}  # equal layers are one object, so each kind is worked out once
    blocks = []
    for layers, weights in model.layer_weights:
        kind = id(layers.layer)
        if kind not in made:
            made[kind] = _block(layers, weights, run, base, capability, found)
        blocks.append(made[kind]._replace(layers=layers.count))
    if leaf and blocks:
        layers, weights = model.layer_weights[0]
        first = _block(layers, weights, run, base, capability, found, leaf=True)._replace(layers=1)
        rest = [blocks[0]._replace(layers=blocks[0].layers - 1)] if blocks[0].layers > 1 else []
        blocks[:1] = [first, *rest]
    return tuple(blocks)


def _block(
    layers: LayerRun,
    weights: tuple[Weight, ...],
    run: TrainRun,
    base: Sizes,
    capability: tuple[int, int] | None,
    found: Adapted | None,
    *,
    leaf: bool = False,
) -> Block:
    sizes, masked = base, False
    for mixer in layers.layer.mixers:
        if isinstance(mixer, Attention | LatentAttention):
            kernel = resolve_attention(base.attention, mixer, run.seq_len, base.core, capability)
            sizes, masked = base.with_attention(kernel), is_masked(mixer, run.seq_len)
    recomputed = run.recompute is Recompute.FULL
    segments = block_segments(layers.layer, sizes, masked, recomputed, leaf)
    seen = block_segments(layers.layer, sizes._replace(past_hooks=False), masked, recomputed, leaf)
    shape = run.micro_batch, run.seq_len
    saved = tuple(segment.rate.total(*shape) for segment in segments)
    past_hooks = tuple(segment.past_hooks.total(*shape) for segment in segments)
    tokens = run.tokens
    copied = multiplied(weights) if run.precision.is_amp else 0
    added = adapters_of(weights, found, run.adapter) if found and run.adapter else 0
    learned = added if sizes.autocast and sizes.adapter == FULL else 0
    return Block(
        layers=layers.count,
        segments=segments,
        saved=saved,
        rerun=tuple(segment.rate.total(*shape) for segment in seen),
        past_hooks=past_hooks,
        kept=sizes.stream * sizes.hidden * tokens + sum(past_hooks) if recomputed else sum(saved),
        parameters=sum(w.parameters for w in weights) if run.method is Method.FULL else added,
        casts=copied + learned,
        frozen_casts=0 if run.method is Method.FULL else copied,
        passing=tuple(tokens * segment.passing for segment in segments),
        trained=tuple(_trained(segment, run, found) for segment in segments),
        sizes=sizes,
    )


def _trained(segment: Segment, run: TrainRun, found: Adapted | None) -> Trained:
    def elements(weights: tuple[Weight, ...]) -> int:
        if run.method is Method.FULL:
            return sum(w.parameters for w in weights)
        return adapters_of(weights, found, run.adapter) if found and run.adapter else 0

    copied = multiplied if run.precision.is_amp else (lambda _: 0)
    whole, writing = segment.weights, segment.writing
    return Trained(elements(whole), elements(writing), copied(whole), copied(writing))
