"""
Terms of saved activations.

Letters: B micro-batch, T tokens per sequence, L layers, D hidden, s bytes an element, ℓ blocks that still hold theirs,
a bytes per token that a block saves, p bytes per token pair.
"""

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.run import Loss
from vramcast.rules.block_backward import Moment
from vramcast.rules.saved.ops import rate
from vramcast.rules.scene import Scene

CODE = "transformers 5.23 modelling code; torch derivatives"


def kept_activations(scene: Scene) -> Term:
    """
    All that blocks keep from forward to backward, and the final norm's and head's own.

    Formula:  Σ_layers B·T·(a + T·p) + B·T·a_out;  recomputed: L·B·T·s·D + B·T·a_out
    Source:   the operators' own rules (rules/saved); torch utils/checkpoint.py.
    """
    run = scene.run
    blocks = _recomputed_parts(scene) if scene.recomputes else _block_parts(scene)
    return Term(
        bytes=scene.kept + scene.outer_bytes,
        category=Category.ACTIVATIONS,
        label="block inputs kept for recomputation" if scene.recomputes else "activations saved by all blocks",
        phase=Phase.FORWARD,
        formula="L·B·T·s·D + B·T·a_out" if scene.recomputes else "Σ_layers B·T·(a + T·p) + B·T·a_out",
        values=(
            ("L", scene.model.num_layers),
            ("B", run.micro_batch),
            ("T", run.seq_len),
            ("s", scene.sizes.stream),
            ("D", scene.model.hidden_size),
        ),
        source=CODE,
        parts=(*blocks, Part("final norm, input of the head", "B·T·a_out", scene.outer_bytes)),
    )


def _recomputed_parts(scene: Scene) -> tuple[Part, ...]:
    held = sum(block.layers * sum(block.past_hooks) for block in scene.blocks)
    inputs = Part(f"inputs of {scene.model.num_layers} blocks", "L·B·T·s·D", scene.kept - held)
    if not held:
        return (inputs,)
    return (inputs, Part("inputs of 8-bit layers, which checkpointing does not see", "Σ_layers B·T·a", held))


def _block_parts(scene: Scene) -> tuple[Part, ...]:
    """What all blocks save, equal operators together: how often, times what one of them keeps."""
    run = scene.run
    times: dict[tuple[str, str, int], int] = {}
    for block in scene.blocks:
        for segment in block.segments:
            for saved in segment.saved:
                key = (saved.op, saved.written, rate((saved,)).total(run.micro_batch, run.seq_len))
                times[key] = times.get(key, 0) + block.layers
    return tuple(Part(op, f"{count}·{formula}", count * size) for (op, formula, size), count in times.items() if size)


def last_hidden_state(scene: Scene) -> tuple[Term, ...]:
    """
    The final norm's output, referenced by the model's outputs until the loss returns, where the head does not save it.

    Formula:  B·T·s·D
    Source:   transformers 5.23 modeling_llama.py (outputs.last_hidden_state).
    """
    run, sizes = scene.run, scene.sizes
    saved = sizes.trains_weights and not (sizes.autocast and scene.head.stream != sizes.compute)
    if run.loss is not Loss.STOCK or saved:
        return ()
    label = "last hidden state, still referenced"
    return (_stream(scene, scene.head.stream, Category.ACTIVATIONS, label, Phase.FORWARD),)


def stream_gradient(scene: Scene) -> Term:
    """The gradient that flows down the residual stream: B·T·s·D."""
    label = "gradient of the residual stream"
    return _stream(scene, scene.sizes.stream, Category.TEMPORARY, label, Phase.BACKWARD)


def _stream(scene: Scene, s: int, category: Category, label: str, phase: Phase) -> Term:
    run, hidden = scene.run, scene.model.hidden_size
    return Term(
        bytes=run.tokens * s * hidden,
        category=category,
        label=label,
        phase=phase,
        formula="B·T·s·D",
        values=(("B", run.micro_batch), ("T", run.seq_len), ("s", s), ("D", hidden)),
        source="transformers 5.23 modeling_llama.py; torch derivatives",
    )


def earlier_blocks(scene: Scene, moment: Moment) -> tuple[Term, ...]:
    """What the blocks below the one in backward still keep; recomputed: their inputs, and this one's."""
    if not moment.before:
        return ()
    run, earlier = scene.run, moment.layer if scene.recomputes else moment.layer - 1
    return (
        Term(
            bytes=moment.before,
            category=Category.ACTIVATIONS,
            label=f"inputs of blocks 1 to {earlier}" if scene.recomputes else f"saved by blocks 1 to {earlier}",
            phase=Phase.BACKWARD,
            formula="ℓ·B·T·s·D" if scene.recomputes else "Σ_earlier B·T·(a + T·p)",
            values=(
                ("ℓ", earlier),
                ("B", run.micro_batch),
                ("T", run.seq_len),
                ("s", moment.block.sizes.stream),
                ("D", scene.model.hidden_size),
            ),
            source="torch utils/checkpoint.py" if scene.recomputes else CODE,
        ),
    )


def before_blocks(scene: Scene) -> tuple[Term, ...]:
    """What is kept between the embedding and the first block, to the last: B·T·x."""
    if not scene.entrance_bytes:
        return ()
    run = scene.run
    return (
        Term(
            bytes=scene.entrance_bytes,
            category=Category.ACTIVATIONS,
            label="kept before the first block",
            phase=Phase.BACKWARD,
            formula="B·T·x",
            values=(("B", run.micro_batch), ("T", run.seq_len), ("x", scene.entrance_bytes // run.tokens)),
            source=CODE,
        ),
    )


def own_block(scene: Scene, moment: Moment) -> Term:
    """What the block in backward saved, of the segments whose backward has not run yet: B·T·(a + T·p)."""
    run = scene.run
    parts = tuple(
        Part(f"{segment.name}: {saved.op}", saved.written, rate((saved,)).total(run.micro_batch, run.seq_len))
        for segment in moment.block.segments[: moment.segments]
        for saved in segment.saved
        if not saved.past_hooks
    )
    return Term(
        bytes=moment.own,
        category=Category.ACTIVATIONS,
        label=f"{'recomputed' if scene.recomputes else 'saved'} in block {moment.layer}",
        phase=Phase.BACKWARD,
        formula="B·T·(a + T·p)",
        values=(("B", run.micro_batch), ("T", run.seq_len)),
        source=CODE,
        parts=parts,
    )


def block_gradients(scene: Scene, moment: Moment) -> Term:
    """Gradients of activations, and the attention kernel's own buffers, at the block's worst moment: B·T·x + y."""
    run = scene.run
    return Term(
        bytes=moment.extra,
        category=Category.TEMPORARY,
        label=f"gradients inside the block ({moment.name})",
        phase=Phase.BACKWARD,
        formula="B·T·x + y",
        values=(
            ("B", run.micro_batch),
            ("T", run.seq_len),
            ("x", (moment.extra - moment.once) // run.tokens),
            ("y", moment.once),
        ),
        source="torch derivatives; the attention kernels' backward",
        exactness=Exactness.MODELLED,
    )


def dequantized_weight(moment: Moment) -> tuple[Term, ...]:
    """One quantised weight laid out whole for its matrix product: s·d_out·d_in."""
    if not moment.dequantized:
        return ()
    size = moment.block.segments[moment.segments - 1].laid_out
    return (
        Term(
            bytes=moment.dequantized,
            category=Category.TEMPORARY,
            label="one weight, dequantised",
            phase=Phase.BACKWARD,
            formula="s·d_out·d_in",
            values=(("s", size), ("d_out·d_in", moment.dequantized // size)),
            source="bitsandbytes 0.50 autograd/_functions.py",
        ),
    )
