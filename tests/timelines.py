"""Timelines written by hand, and drawn at random."""

from hypothesis import strategies as st

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.timeline import Block, Event, Mark, Timeline
from vramcast.units import MIB

KINDS = {
    "small": st.integers(0, MIB),
    "large": st.integers(MIB + 1, 40 * MIB),
    "whole": st.integers(1, 60).map(lambda steps: steps * 2 * MIB),
}


class Program:
    """What a program asks for and gives back, in order."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.events: list[Event] = []
        self.marks: list[Mark] = []

    def ask(self, size: float, stream: int = 0) -> int:
        """Ask for bytes; the number of the block."""
        number = len(self.blocks)
        self.blocks.append(
            Block(round(size), Category.TEMPORARY, Phase.FORWARD, stream=stream, operator=f"op {number}")
        )
        self.events.append(Event(born=True, block=number))
        return number

    def give(self, *numbers: int) -> None:
        """Give blocks back."""
        self.events += [Event(born=False, block=number) for number in numbers]

    def mark(self, name: str) -> None:
        """A new stretch begins."""
        self.marks.append(Mark(len(self.events), Phase.FORWARD, name))

    @property
    def timeline(self) -> Timeline:
        """The whole."""
        return Timeline(blocks=tuple(self.blocks), events=tuple(self.events), marks=tuple(self.marks))


@st.composite
def timelines(draw: st.DrawFn, *kinds: str, streams: int = 2, most: int = 40) -> Timeline:
    """Up to `most` requests of these kinds of sizes, some given back in any order, with a mark now and then."""
    sizes = st.one_of(*(KINDS[kind] for kind in kinds or ("small", "large")))
    common = draw(st.lists(sizes, min_size=1, max_size=6))
    program, live = Program(), []
    for _ in range(draw(st.integers(1, most))):
        if live and draw(st.booleans()):
            program.give(live.pop(draw(st.integers(0, len(live) - 1))))
        else:
            size = draw(st.one_of(st.sampled_from(common), sizes))
            live.append(program.ask(size, draw(st.integers(0, streams - 1))))
        if draw(st.integers(0, 9)) == 0:
            program.mark(f"mark {len(program.marks)}")
    return program.timeline
