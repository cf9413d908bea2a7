"""From made records to terms: the worst moment of each stretch, what lives in it, and what it is called."""

import pytest

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.timeline import Block, Event, Mark, Timeline
from vramcast.trace.account import MOST_PARTS, instants, shown
from vramcast.trace.replay import replay

KIB = 1024


def record(blocks: list[Block], order: list[int], marks: tuple[Mark, ...]) -> Timeline:
    """Block `n` is born where `n` comes first in `order`, and dies where it comes again."""
    seen: set[int] = set()
    events = []
    for number in order:
        events.append(Event(number not in seen, number))
        seen.add(number)
    return Timeline(blocks=tuple(blocks), events=tuple(events), marks=marks)


def block(size: int, category: Category, module: str = "", layer: int = -1, operator: str = "aten.mm.default") -> Block:
    """Born in the forward pass."""
    return Block(size, category, Phase.FORWARD, module, layer, operator)


MODEL = "base_model.model.model.layers"
STEP = record(
    [
        block(10 * KIB, Category.PARAMETERS, f"{MODEL}.0.mlp.up_proj", 0),
        block(10 * KIB, Category.PARAMETERS, f"{MODEL}.1.mlp.up_proj", 1),
        block(3 * KIB, Category.ACTIVATIONS, f"{MODEL}.1.mlp", 1),
        block(1, Category.TEMPORARY, "base_model.model.lm_head", operator="aten._log_softmax.default"),
        block(7 * KIB, Category.GRADIENTS, f"{MODEL}.1.mlp.up_proj", 1),
        block(5 * KIB, Category.TEMPORARY, operator="aten._foreach_add.List"),
    ],
    [0, 1, 2, 3, 3, 4, 2, 5, 5, 4],
    (
        Mark(0, Phase.LOAD, "load"),
        Mark(2, Phase.FORWARD, "step 1 forward"),
        Mark(5, Phase.BACKWARD, "step 1 backward"),
        Mark(7, Phase.OPTIMIZER_STEP, "step 1 update"),
    ),
)


def test_each_stretch_has_its_worst_moment() -> None:
    """Named by the stretch, and by the module and the operator that brought it about; sizes as the allocator grants."""
    found = [(one.phase, one.name, one.allocated) for one in instants(STEP, replay(STEP))]
    assert found == [
        (Phase.LOAD, "load, in mlp.up_proj of layer 1 (mm)", 20 * KIB),
        (Phase.FORWARD, "step 1 forward, in lm_head (log_softmax)", 23 * KIB + 512),
        (Phase.BACKWARD, "step 1 backward, in mlp.up_proj of layer 1 (mm)", 30 * KIB),
        (Phase.OPTIMIZER_STEP, "step 1 update, (foreach_add)", 32 * KIB),
    ]


def test_what_lives_is_grouped_by_what_it_is() -> None:
    """A term for each category, a part for each module whatever its layer; the parts sum to the term."""
    forward = instants(STEP, replay(STEP))[1]
    assert [(term.category, term.bytes, term.phase) for term in forward.terms] == [
        (Category.PARAMETERS, 20 * KIB, Phase.RESIDENT),
        (Category.ACTIVATIONS, 3 * KIB, Phase.FORWARD),
        (Category.TEMPORARY, 512, Phase.FORWARD),
    ]
    (weights,) = forward.terms[0].parts
    assert (weights.label, weights.bytes) == ("layers.*.mlp.up_proj", 20 * KIB)
    assert all(sum(part.bytes for part in term.parts) == term.bytes for term in forward.terms)


def test_many_modules_are_summed_up() -> None:
    """The twelve largest are named, the rest together, and nothing is lost."""
    blocks = [block(KIB * (number + 1), Category.PARAMETERS, f"part_{number}") for number in range(20)]
    many = record(blocks, list(range(20)), (Mark(0, Phase.LOAD, "load"),))
    (loaded,) = instants(many, replay(many))
    (term,) = loaded.terms
    assert [part.label for part in term.parts[:2]] == ["part_19", "part_18"]
    assert len(term.parts) == MOST_PARTS + 1
    assert term.parts[-1].label == "8 other modules"
    assert sum(part.bytes for part in term.parts) == term.bytes == KIB * 210


def test_a_stretch_in_which_nothing_happens() -> None:
    """It has the moment that the one before left."""
    quiet = Timeline(
        blocks=STEP.blocks[:2],
        events=STEP.events[:2],
        marks=(Mark(0, Phase.LOAD, "load"), Mark(2, Phase.FORWARD, "forward"), Mark(2, Phase.BACKWARD, "backward")),
    )
    assert [one.allocated for one in instants(quiet, replay(quiet))] == [20 * KIB] * 3


@pytest.mark.parametrize(
    ("module", "layer", "name"),
    [
        ("base_model.model.model.layers.3.mlp.up_proj", 3, "mlp.up_proj of layer 3"),
        ("model.layers.11", 11, "layer 11"),
        ("transformer.h.0.attn", 0, "attn of layer 0"),
        ("base_model.model.lm_head", -1, "lm_head"),
        ("model.layers.2.mlp.experts.2.w1", 2, "mlp.experts.2.w1 of layer 2"),
    ],
)
def test_how_a_module_is_called(module: str, layer: int, name: str) -> None:
    """Its place within its layer, without the wrappers around the model."""
    assert shown(module, layer) == name
