"""
The moments between the blocks and the loss, which count where the loss itself needs little.

Letters: B micro-batch, T tokens per sequence, n = B · T, D hidden, s bytes an element.
"""

from typing import NamedTuple

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Phase, Term
from vramcast.rules.blocks import leaf_input
from vramcast.rules.saved.norms import norm_backward
from vramcast.rules.saved.ops import rate
from vramcast.rules.saved.outer import made_leaf, outer_saved
from vramcast.rules.scene import Scene

CODE = "transformers 5.23 modelling code; torch derivatives"


class Edge(NamedTuple):
    """What is kept at such a moment, and what it allocates and frees."""

    kept: Term
    passing: Term


def last_block_forward(scene: Scene) -> Edge:
    """
    The worst moment of the last block's forward: all blocks before it keep theirs, this one what has run so far.

    Formula:  Σ_earlier B·T·(a + T·p) + B·T·(a' + T·p') kept; passing as a segment's output projection, or its softmax, needs
    """
    run, last = scene.run, scene.blocks[-1]

    def worst(index: int) -> tuple[int, int]:
        pairs = run.tokens * run.seq_len * last.segments[index].forward_pairs
        return scene.kept + scene.entrance_bytes - sum(last.saved[index + 1 :]), max(last.passing[index], pairs)

    kept, passing = max((worst(index) for index in range(len(last.segments))), key=sum)
    return Edge(
        _term(scene, kept, Category.ACTIVATIONS, "saved by all blocks so far", Phase.FORWARD, "Σ B·T·(a + T·p)"),
        _term(scene, passing, Category.TEMPORARY, "in use while the last block runs", Phase.FORWARD, "B·T·x"),
    )


def final_norm_backward(scene: Scene) -> Edge | None:
    """
    The final norm's backward: blocks keep all of theirs, the norm its input; the gradients inside it are FP32.

    Formula:  Σ_layers B·T·(a + T·p) + what the norm reads; `norm_backward` a token
    """
    norm = scene.model.final_norm
    if norm is None:
        return None
    outside = outer_saved(
        scene.model, scene.sizes._replace(trains_weights=False), own_head=False, leaf=leaf_input(scene.run)
    )
    own = rate((*outside, *made_leaf(scene.model, scene.run, scene.sizes))).total(
        scene.run.micro_batch, scene.run.seq_len
    )
    passing = scene.run.tokens * norm_backward(norm, scene.sizes)
    kept = _term(
        scene,
        scene.kept + own,
        Category.ACTIVATIONS,
        "kept by all blocks, and what the final norm reads",
        Phase.BACKWARD,
        "Σ B·T·(a + T·p)",
    )
    label = "gradients inside the final norm"
    return Edge(kept, _term(scene, passing, Category.TEMPORARY, label, Phase.BACKWARD, "B·T·x"))


def _term(scene: Scene, size: int, category: Category, label: str, phase: Phase, formula: str) -> Term:
    run = scene.run
    return Term(
        bytes=size,
        category=category,
        label=label,
        phase=phase,
        formula=formula,
        values=(("B", run.micro_batch), ("T", run.seq_len), ("x", size // run.tokens)),
        source=CODE,
        exactness=Exactness.MODELLED,
    )
