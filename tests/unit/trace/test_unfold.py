"""Made events of a made model with equal layers: what unfolding repeats, and what it refuses."""

from collections.abc import Callable

import pytest

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.timeline import Block, Event, Mark, Timeline
from vramcast.trace.unfold import KEPT_UNITS, NotPeriodicError, Pattern, unfold

OUTSIDE = -1
ONE = Pattern(first=0, length=1)


class Program:
    """Writes a timeline by hand."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.events: list[Event] = []
        self.marks: list[Mark] = []

    def born(self, size: int, layer: int = OUTSIDE, module: str = "") -> int:
        """A block comes to life."""
        path = f"model.layers.{layer}{module}" if layer >= 0 else module
        self.blocks.append(Block(size, Category.TEMPORARY, Phase.FORWARD, path, layer, "aten.mm.default"))
        self.events.append(Event(born=True, block=len(self.blocks) - 1))
        return len(self.blocks) - 1

    def dies(self, block: int) -> None:
        """It is freed."""
        self.events.append(Event(born=False, block=block))

    def mark(self, name: str) -> None:
        """A phase begins."""
        self.marks.append(Mark(len(self.events), Phase.FORWARD, name))

    def record(self) -> Timeline:
        """What was written."""
        return Timeline(blocks=tuple(self.blocks), events=tuple(self.events), marks=tuple(self.marks))


def step(layers: int, *, each: Callable[[Program, int], None] | None = None, dense: int = 0) -> Timeline:
    """Embedding, layers upwards that keep something, a head, layers downwards that free it, norms of all at the end."""
    program = Program()
    program.mark("forward")
    stream = program.born(100)
    kept: list[int] = []
    for layer in range(layers):
        scratch = program.born(7, layer, ".mlp")
        kept.append(program.born(50 if layer >= dense else 80, layer, ".mlp"))
        program.dies(scratch)
        if each is not None:
            each(program, layer)
    program.mark("backward")
    head = program.born(1000, module="lm_head")
    for layer in reversed(range(layers)):
        gradient = program.born(9, layer, ".attn")
        program.dies(kept[layer])
        program.dies(gradient)
    program.dies(head)
    program.dies(stream)
    return program.record()


@pytest.mark.parametrize("extra", [0, 1, 2, 30])
def test_layers_that_go_up_and_down_are_repeated(extra: int) -> None:
    """The unfolded record is the record of the deep model: blocks, their modules, events, marks."""
    assert unfold(step(KEPT_UNITS), ONE, extra) == step(KEPT_UNITS + extra)


def test_layers_before_the_pattern_stay_where_they_are() -> None:
    """Two larger ones come first and are not counted."""
    assert unfold(step(KEPT_UNITS + 2, dense=2), Pattern(2, 1), 5) == step(KEPT_UNITS + 7, dense=2)


def test_a_pattern_of_several_layers() -> None:
    """Every third layer makes one block more."""

    def third(program: Program, layer: int) -> None:
        if layer % 3 == 2:
            program.dies(program.born(4000, layer, ".router"))

    assert unfold(step(3 * KEPT_UNITS, each=third), Pattern(0, 3), 4) == step(3 * KEPT_UNITS + 12, each=third)


def test_the_last_layer_may_differ() -> None:
    """Where its events differ from the inner ones', it is moved to the new end and not repeated."""

    def of(count: int) -> Callable[[Program, int], None]:
        def last(program: Program, layer: int) -> None:
            if layer == count - 1:
                program.dies(program.born(333, layer))

        return last

    deep = KEPT_UNITS + 3
    assert unfold(step(KEPT_UNITS, each=of(KEPT_UNITS)), ONE, 3) == step(deep, each=of(deep))


def test_what_gathers_bytes_of_all_layers_grows() -> None:
    """A stack of one number a parameter, of which each layer has two, gains two for each layer more."""

    def with_norms(layers: int) -> Timeline:
        program = Program()
        for layer in range(layers):
            program.dies(program.born(50, layer))
        program.dies(program.born(4 * (2 * layers + 3)))
        return program.record()

    gathered = {KEPT_UNITS: {OUTSIDE: 12, **dict.fromkeys(range(KEPT_UNITS), 8)}}
    assert unfold(with_norms(KEPT_UNITS), ONE, 10, gathered) == with_norms(KEPT_UNITS + 10)


def refused(each: Callable[[Program, int], None]) -> str:
    """Why it cannot be unfolded."""
    with pytest.raises(NotPeriodicError) as caught:
        unfold(step(KEPT_UNITS, each=each), ONE, 1)
    return str(caught.value)


def test_an_inner_layer_of_more_blocks_is_refused() -> None:
    """One of them makes a block more than its neighbours."""

    def fourth(program: Program, layer: int) -> None:
        if layer == 3:
            program.born(1, layer)

    assert refused(fourth) == "inner units have [3, 4, 3] blocks"


def test_an_inner_layer_of_larger_blocks_is_refused() -> None:
    """As many blocks, one of another size."""
    assert "different periods" in refused(lambda program, layer: program.dies(program.born(1 + (layer == 3), layer)))


def test_what_outlives_the_layer_that_made_it_is_refused() -> None:
    """A block outside the layers that is born in one layer's turn and stays, or goes in the next one's."""
    before: list[int] = []

    def handed_on(program: Program, _: int) -> None:
        if before:
            program.dies(before.pop())
        before.append(program.born(5))

    assert "outlives" in refused(handed_on)

    def stays(program: Program, _: int) -> None:
        program.born(5)

    assert "outlives" in refused(stays)
