"""
One training step as it repeats: the named instants that compete for the peak, and the terms alive at each.

Letters: B micro-batch, T tokens per sequence, L layers, D hidden, V vocabulary, Φ parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Instant, Part, Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Loss, Method, Recompute, TrainRun
from vramcast.domain.stack import Stack
from vramcast.rules import gradients as gradient_rules
from vramcast.rules import logits as logit_rules
from vramcast.rules.adapters import adapter_weights, adapters
from vramcast.rules.blocks import Block, Moment, lay_out, worst_moment
from vramcast.rules.optimizer import (
    Trainable,
    master_gradients,
    optimizer_states,
    paged_bytes,
    state_itemsize,
    step_temporaries,
    trainable,
)
from vramcast.rules.parameters import cached_casts, parameters
from vramcast.rules.saved.norms import norm_saved
from vramcast.rules.saved.ops import Saved, linear_inputs, total
from vramcast.rules.sizes import Sizes, adapter_itemsize, sizes_of
from vramcast.rules.workspace import embedding_backward, gemm_workspace, step_inputs

CPU_THREADS_THAT_MULTIPLY = 2  # the caller's, forward; autograd's, backward


@dataclass(frozen=True, slots=True)
class TrainStep:
    """The instants of a step, and what the tiers need besides: bytes idle at the loss, bytes paged, the no-reuse bound."""

    instants: tuple[Instant, ...]
    idle: int
    paged: int
    no_reuse: int


@dataclass(frozen=True, slots=True)
class _Scene:
    """What every instant of one run shares."""

    model: ModelSpec
    run: TrainRun
    sizes: Sizes
    blocks: tuple[Block, ...]
    group: Trainable
    gradient: int  # bytes of one gradient element
    resident: tuple[Term, ...]
    outer: tuple[Saved, ...]
    head: logit_rules.Head

    @property
    def kept(self) -> int:
        return sum(block.count * block.kept for block in self.blocks)

    @property
    def accumulates(self) -> bool:
        return self.run.accum_steps > 1


def train_step(model: ModelSpec, run: TrainRun, stack: Stack, device: Device | None) -> TrainStep:
    """
    The instants of one training step in steady state (moments exist, gradients start at None unless accumulated).

    The peak is the largest instant, not a sum of maxima: logits are gone when blocks run backward, activations are gone when
    the optimizer steps.

    Raises:
        InputError: an adapter target names no linear layer.
    """
    scene = _scene(model, run, stack, device)
    instants = [_optimizer_step(scene)]
    if model.layers:
        moment = worst_moment(scene.blocks, run, _head_parameters(scene), _growing(scene))
        instants = [
            _forward_end(scene),
            _loss_backward(scene),
            *_projection_backward(scene),
            *([_block_backward(scene, moment)] if moment else []),
            *_embedding_backward(scene),
            *instants,
        ]
    idle = scene.head.tokens * scene.head.vocab * scene.head.itemsize
    released = run.loss is Loss.STOCK and not scene.head.held and scene.head.itemsize < 4 and model.layers
    return TrainStep(
        instants=tuple(instants),
        idle=idle if released else 0,
        paged=paged_bytes(scene.group, run.optimizer),
        no_reuse=_without_reuse(instants, scene.resident),
    )


def _scene(model: ModelSpec, run: TrainRun, stack: Stack, device: Device | None) -> _Scene:
    full = run.method is Method.FULL
    if model.layers:
        weights = model.weights if full or run.adapter is None else adapter_weights(model.weights, run.adapter)
        group = trainable(weights)
    else:
        group = _bare_group(model.parameters if full else 0)
    itemsize = run.precision.weight_itemsize if full else adapter_itemsize(run)
    sizes = sizes_of(model, run, frozenset())
    resident = [*parameters(model, run)]
    if run.adapter is not None and model.layers:
        resident.append(adapters(model, run))
    resident.append(optimizer_states(group, run, state_itemsize(run, itemsize)))
    if model.layers:
        resident.append(step_inputs(model, run, sizes.stream))
        resident.append(gemm_workspace(device, stack, CPU_THREADS_THAT_MULTIPLY))
    if run.accum_steps > 1:
        resident.append(gradient_rules.gradients(group.total, itemsize, Phase.RESIDENT, "accumulated gradients"))
    norms = norm_saved(model.final_norm, sizes, sizes.stream) if model.final_norm else ()
    fused_head = run.loss is not Loss.STOCK
    outer = (*norms, *linear_inputs(sizes, ("lm_head",), model.hidden_size, sizes.stream, "D", held=fused_head))
    return _Scene(
        model=model,
        run=run,
        sizes=sizes,
        blocks=lay_out(model, run, device.capability if device else None) if model.layers else (),
        group=group,
        gradient=itemsize,
        resident=tuple(resident),
        outer=outer,
        head=logit_rules.Head(
            tokens=run.tokens,
            vocab=model.vocab_size,
            hidden=model.embedding_size or model.hidden_size,
            itemsize=sizes.compute,
            trained=full,
            held=stack.default("holds_logits") == "yes",
            upcast=model.logits_upcast,
        ),
    )


def _bare_group(count: int) -> Trainable:
    """What is known of the tensors of a model that is only a size."""
    return Trainable(count, 0, count, count, 0, count, 0, 0)


def _growing(scene: _Scene) -> int:
    """Bytes a gradient element adds as backward proceeds: none when all are accumulated already."""
    return 0 if scene.accumulates else scene.gradient


def _head_parameters(scene: _Scene) -> int:
    """Trainable elements whose gradients exist before the last block's backward."""
    if scene.run.method is not Method.FULL:
        return scene.group.total
    model = scene.model
    norm = sum(w.parameters for w in model.final_norm.weights) if model.final_norm else 0
    return model.vocab_size * scene.head.hidden + norm


def _activations(scene: _Scene) -> Term:
    """All that blocks keep from forward to backward, and the final norm's and head's own."""
    outer = total(scene.outer, scene.run.micro_batch, scene.run.seq_len)
    recomputed = scene.run.recompute is Recompute.FULL
    parts = (*_block_parts(scene), Part("final norm, input of the head", "B·T·a_out", outer))
    return Term(
        bytes=scene.kept + outer,
        category=Category.ACTIVATIONS,
        label="block inputs kept for recomputation" if recomputed else "activations saved by all blocks",
        phase=Phase.FORWARD,
        formula="L·B·T·s·D + B·T·a_out" if recomputed else "Σ_layers B·T·(a + T·p) + B·T·a_out",
        values=(
            ("L", scene.model.num_layers),
            ("B", scene.run.micro_batch),
            ("T", scene.run.seq_len),
            ("s", scene.sizes.stream),
            ("D", scene.model.hidden_size),
        ),
        source="transformers 5.23 modelling code; torch derivatives",
        parts=parts,
    )


def _block_parts(scene: _Scene) -> tuple[Part, ...]:
    run = scene.run
    if run.recompute is Recompute.FULL:
        return (Part(f"inputs of {scene.model.num_layers} blocks", "L·B·T·s·D", scene.kept),)
    sums: dict[tuple[str, str], int] = {}
    for block in scene.blocks:
        for segment in block.segments:
            for saved in segment.saved:
                key = (saved.op, saved.formula)
                sums[key] = sums.get(key, 0) + block.count * total((saved,), run.micro_batch, run.seq_len)
    return tuple(Part(op, f"B·T·({formula})", size) for (op, formula), size in sums.items() if size)


def _casts(scene: _Scene, count: int, phase: Phase) -> tuple[Term, ...]:
    return (cached_casts(count, phase),) if count else ()


def _all_casts(scene: _Scene) -> int:
    """Elements autocast has copied by the end of the forward pass; frozen weights' copies die with a recomputed block."""
    if not scene.run.precision.is_amp:
        return 0
    head = scene.model.vocab_size * scene.head.hidden
    if scene.run.recompute is Recompute.FULL and scene.run.method is not Method.FULL:
        return head
    return head + sum(block.count * block.casts for block in scene.blocks)


def _last_hidden_state(scene: _Scene) -> tuple[Term, ...]:
    """The final norm's output, referenced by the model's outputs until the loss returns, where the head does not save it."""
    run, sizes = scene.run, scene.sizes
    if run.loss is not Loss.STOCK or (sizes.trains_weights and not (sizes.autocast and sizes.stream != sizes.compute)):
        return ()
    return (
        Term(
            bytes=run.tokens * sizes.stream * scene.model.hidden_size,
            category=Category.ACTIVATIONS,
            label="last hidden state, still referenced",
            phase=Phase.FORWARD,
            formula="B·T·s·D",
            values=(("B", run.micro_batch), ("T", run.seq_len), ("s", sizes.stream), ("D", scene.model.hidden_size)),
            source="transformers 5.23 modeling_llama.py (outputs.last_hidden_state)",
        ),
    )


def _forward_end(scene: _Scene) -> Instant:
    terms = (
        *scene.resident,
        *_casts(scene, _all_casts(scene), Phase.FORWARD),
        _activations(scene),
        *_last_hidden_state(scene),
        logit_rules.forward_logits(scene.head, scene.run.loss),
    )
    return Instant(phase=Phase.FORWARD, name="end of forward, loss computed", terms=terms)


def _loss_backward(scene: _Scene) -> Instant:
    terms = (
        *scene.resident,
        *_casts(scene, _all_casts(scene), Phase.BACKWARD),
        _activations(scene),
        logit_rules.backward_logits(scene.head, scene.run.loss),
    )
    return Instant(phase=Phase.BACKWARD, name="backward of the loss", terms=terms)


def _projection_backward(scene: _Scene) -> tuple[Instant, ...]:
    term = logit_rules.projection_backward(scene.head, scene.run.loss)
    if term is None:
        return ()
    grads = _gradients(scene, _head_parameters(scene))
    terms = (*scene.resident, *_casts(scene, _all_casts(scene), Phase.BACKWARD), _activations(scene), term, *grads)
    return (Instant(phase=Phase.BACKWARD, name="backward of the output projection", terms=terms),)


def _gradients(scene: _Scene, count: int) -> tuple[Term, ...]:
    if scene.accumulates:
        return (gradient_rules.accumulation(scene.group.largest, scene.gradient),)
    return (gradient_rules.gradients(count, scene.gradient, Phase.BACKWARD),)


def _block_backward(scene: _Scene, moment: Moment) -> Instant:
    run = scene.run
    recomputed = run.recompute is Recompute.FULL
    terms = [*scene.resident, *_casts(scene, moment.casts, Phase.BACKWARD)]
    earlier = moment.layer if recomputed else moment.layer - 1
    if moment.before:
        terms.append(
            Term(
                bytes=moment.before,
                category=Category.ACTIVATIONS,
                label=f"inputs of blocks 1 to {earlier}" if recomputed else f"saved by blocks 1 to {earlier}",
                phase=Phase.BACKWARD,
                formula="ℓ·B·T·s·D" if recomputed else "Σ_earlier B·T·(a + T·p)",
                values=(
                    ("ℓ", earlier),
                    ("B", run.micro_batch),
                    ("T", run.seq_len),
                    ("s", moment.block.sizes.stream),
                    ("D", scene.model.hidden_size),
                ),
                source="torch utils/checkpoint.py" if recomputed else "torch derivatives",
            )
        )
    terms.extend((_own(scene, moment), _extra(scene, moment)))
    if moment.dequantized:
        terms.append(_dequantized(moment))
    terms.extend(_gradients(scene, moment.gradients))
    name = f"backward of block {moment.layer} of {scene.model.num_layers} ({moment.name})"
    return Instant(phase=Phase.BACKWARD, name=name, terms=tuple(terms))


def _own(scene: _Scene, moment: Moment) -> Term:
    run = scene.run
    parts: list[Part] = []
    left = moment.own
    for segment in moment.block.segments:
        for saved in segment.saved:
            size = total((saved,), run.micro_batch, run.seq_len)
            if 0 < size <= left:
                parts.append(Part(f"{segment.name}: {saved.op}", f"B·T·({saved.formula})", size))
                left -= size
    verb = "recomputed" if run.recompute is Recompute.FULL else "saved"
    return Term(
        bytes=moment.own,
        category=Category.ACTIVATIONS,
        label=f"{verb} in block {moment.layer}",
        phase=Phase.BACKWARD,
        formula="B·T·(a + T·p)",
        values=(("B", run.micro_batch), ("T", run.seq_len)),
        source="transformers 5.23 modelling code; torch derivatives",
        parts=tuple(parts),
    )


def _extra(scene: _Scene, moment: Moment) -> Term:
    run = scene.run
    return Term(
        bytes=moment.extra,
        category=Category.TEMPORARY,
        label=f"gradients inside the block ({moment.name})",
        phase=Phase.BACKWARD,
        formula="B·T·x",
        values=(("B", run.micro_batch), ("T", run.seq_len), ("x", moment.extra // max(run.tokens, 1))),
        source="torch derivatives; the attention kernels' backward",
        exactness=Exactness.MODELLED,
    )


def _dequantized(moment: Moment) -> Term:
    size = moment.block.sizes.compute
    return Term(
        bytes=moment.dequantized,
        category=Category.TEMPORARY,
        label="one weight, dequantised",
        phase=Phase.BACKWARD,
        formula="s·d_out·d_in",
        values=(("s", size), ("d_out·d_in", moment.dequantized // size)),
        source="bitsandbytes 0.50 autograd/_functions.py (MatMul4Bit)",
    )


def _embedding_backward(scene: _Scene) -> tuple[Instant, ...]:
    if scene.run.method is not Method.FULL:
        return ()
    beside = scene.model.tied_head and not scene.accumulates
    term = embedding_backward(scene.model, scene.run.tokens, scene.gradient, beside=beside)
    flowing = Term(
        bytes=scene.run.tokens * scene.sizes.stream * scene.model.hidden_size,
        category=Category.TEMPORARY,
        label="gradient of the residual stream",
        phase=Phase.BACKWARD,
        formula="B·T·s·D",
        values=(
            ("B", scene.run.micro_batch),
            ("T", scene.run.seq_len),
            ("s", scene.sizes.stream),
            ("D", scene.model.hidden_size),
        ),
        source="torch derivatives",
    )
    terms = (*scene.resident, flowing, term, *_gradients(scene, scene.group.total))
    return (Instant(phase=Phase.BACKWARD, name="backward of the embedding", terms=terms),)


def _optimizer_step(scene: _Scene) -> Instant:
    run = scene.run
    state = state_itemsize(run, scene.gradient)
    temporaries = (step_temporaries(scene.group, run, state), master_gradients(scene.group, run))
    grads = (
        ()
        if scene.accumulates
        else (gradient_rules.gradients(scene.group.total, scene.gradient, Phase.OPTIMIZER_STEP),)
    )
    terms = (*scene.resident, *grads, *(term for term in temporaries if term))
    return Instant(phase=Phase.OPTIMIZER_STEP, name="optimizer step", terms=terms)


def _without_reuse(instants: Sequence[Instant], resident: tuple[Term, ...]) -> int:
    """
    Bytes reserved if no category ever reused another's segments: resident terms + each category's largest instant.

    A bound, not an estimate: the allocator does reuse freed segments, but cannot always.
    """
    largest: dict[Category, int] = {}
    for instant in instants:
        sums: dict[Category, int] = {}
        for term in instant.terms[len(resident) :]:
            sums[term.category] = sums.get(term.category, 0) + term.bytes
        for category, size in sums.items():
            largest[category] = max(largest.get(category, 0), size)
    return sum(term.bytes for term in resident) + sum(largest.values())
