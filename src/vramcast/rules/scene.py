"""What every instant of one training step shares."""

from typing import NamedTuple

from vramcast.domain.device import Device
from vramcast.domain.forecast import Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Loss, Method, Recompute, TrainRun
from vramcast.domain.stack import Stack
from vramcast.rules.adapters import adapter_weights, adapters
from vramcast.rules.blocks import Block, lay_out, leaf_input
from vramcast.rules.gradients import gradients
from vramcast.rules.logits import Head
from vramcast.rules.optimizer import Trainable, bare_trainable, optimizer_states, state_itemsize, trainable
from vramcast.rules.parameters import parameters
from vramcast.rules.saved.ops import Saved, rate
from vramcast.rules.saved.outer import entrance_saved, hidden_itemsize, made_leaf, outer_saved
from vramcast.rules.sizes import Sizes, adapter_itemsize, sizes_of
from vramcast.rules.workspace import attention_masks, gemm_workspace, step_inputs

THREADS_THAT_MULTIPLY = 2  # the caller's, forward; autograd's, backward


class Scene(NamedTuple):
    """
    A model, a run and what follows from both.

    `group` is what is trained, `gradient` the bytes of one gradient element, `resident` the terms held through the whole
    step, `outer` what is saved outside the blocks, `entrance` those of it before the first, `head` what the loss rules need, `masks` what the forward pass makes for all layers.
    """

    model: ModelSpec
    run: TrainRun
    sizes: Sizes
    blocks: tuple[Block, ...]
    group: Trainable
    gradient: int
    resident: tuple[Term, ...]
    outer: tuple[Saved, ...]
    entrance: tuple[Saved, ...]
    head: Head
    masks: tuple[Term, ...]

    @property
    def kept(self) -> int:
        """Bytes that all blocks keep from forward to backward."""
        return sum(block.layers * block.kept for block in self.blocks)

    @property
    def outer_bytes(self) -> int:
        """Bytes saved outside the blocks: the final norm's, the head's input."""
        return rate(self.outer).total(self.run.micro_batch, self.run.seq_len)

    @property
    def entrance_bytes(self) -> int:
        """Those of them that are kept before the first block, until backward ends."""
        return rate(self.entrance).total(self.run.micro_batch, self.run.seq_len)

    @property
    def accumulates(self) -> bool:
        """Gradients of several micro-batches are summed, so all of them are resident."""
        return self.run.accum_steps > 1

    @property
    def growing(self) -> int:
        """Bytes that each gradient element adds as backward proceeds: none when all are accumulated already."""
        return 0 if self.accumulates else self.gradient

    @property
    def recomputes(self) -> bool:
        """Blocks keep only their inputs."""
        return self.run.recompute is Recompute.FULL

    @property
    def head_parameters(self) -> int:
        """Trainable elements whose gradients exist before the last block's backward: head and final norm."""
        if self.run.method is not Method.FULL:
            return 0
        norm = sum(w.parameters for w in self.model.final_norm.weights) if self.model.final_norm else 0
        return self.model.vocab_size * self.head.hidden + norm

    @property
    def casts(self) -> int:
        """Elements of FP32 weights that autocast has copied by the end of forward, FP32 adapters among them."""
        passed = self.recomputes  # frozen weights' copies are not cached, and a recomputed block keeps none
        return self._head_cast + sum(b.layers * (b.casts - passed * b.frozen_casts) for b in self.blocks)

    @property
    def casts_held(self) -> int:
        """
        Elements of those copies that live on when autocast ends: those that the graph holds.

        Of recomputed blocks it holds none, of the output projection's only where the projection ran as a layer.
        """
        return self.casts_of_blocks + (self._head_cast if self.run.loss is Loss.STOCK else 0)

    @property
    def casts_of_blocks(self) -> int:
        """Elements of the copies that the blocks' graph holds."""
        return 0 if self.recomputes else self.casts - self._head_cast

    @property
    def _head_cast(self) -> int:
        """Elements of the output projection, where the whole of it is copied at once."""
        sizes = self.sizes
        whole = sizes.autocast and sizes.weight != sizes.compute and self.run.loss is not Loss.CHUNKED
        return self.model.vocab_size * self.head.hidden if whole else 0


def set_scene(model: ModelSpec, run: TrainRun, stack: Stack, device: Device | None) -> Scene:
    """
    The scene of one training step.

    Raises:
        InputError: an adapter target names no linear layer.
        UnsupportedError: no rule says what a layer keeps for its backward.
    """
    full = run.method is Method.FULL
    group = _trained(model, run, stack)
    itemsize = run.precision.weight_itemsize if full else adapter_itemsize(run)
    sizes = sizes_of(model, run, frozenset())
    outside = outer_saved(model, sizes, own_head=run.loss is not Loss.STOCK, leaf=leaf_input(run))
    masks = attention_masks(model, run, sizes.attention, sizes.weight)
    return Scene(
        model=model,
        run=run,
        sizes=sizes,
        blocks=lay_out(model, run, device.capability if device else None, leaf=leaf_input(run)),
        group=group,
        gradient=itemsize,
        resident=_resident(model, run, stack, device, group, itemsize, sizes.stream),
        outer=(*outside, *made_leaf(model, run, sizes)),
        entrance=(*entrance_saved(model, sizes, leaf=leaf_input(run)), *made_leaf(model, run, sizes)),
        head=Head(
            tokens=run.tokens,
            vocab=model.vocab_size,
            hidden=model.embedding_size or model.hidden_size,
            itemsize=sizes.compute if sizes.autocast else sizes.weight,
            trained=full,
            held=stack.default("holds_logits") == "yes",
            stream=hidden_itemsize(model, sizes),
            weight=sizes.weight,
            upcast=model.logits_upcast,
            capped=model.logits_capped,
        ),
        masks=(masks,) if masks else (),
    )


def _trained(model: ModelSpec, run: TrainRun, stack: Stack) -> Trainable:
    if not model.layers:
        return bare_trainable(model.parameters if run.method is Method.FULL else 0)
    if run.method is Method.FULL or run.adapter is None:
        return trainable(model.weights, whole_embeddings=stack.default("embedding_states") == "fp32")
    return trainable(adapter_weights(model, run.adapter))


def _resident(
    model: ModelSpec,
    run: TrainRun,
    stack: Stack,
    device: Device | None,
    group: Trainable,
    itemsize: int,
    stream: int,
) -> tuple[Term, ...]:
    terms = [*parameters(model, run)]
    if run.adapter is not None and model.layers:
        terms.append(adapters(model, run))
    terms.append(optimizer_states(group, run, state_itemsize(run, itemsize)))
    if model.layers:
        terms.append(step_inputs(model, run, stream))
        terms.append(gemm_workspace(device, stack, THREADS_THAT_MULTIPLY))
    if run.accum_steps > 1:
        terms.append(gradients(group.total, itemsize, Phase.RESIDENT, "accumulated gradients"))
    return tuple(terms)
