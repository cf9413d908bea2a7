"""What is allocated and freed, in program order."""

from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.forecast import Category, Phase


class Block(NamedTuple):
    """
    Device memory from one allocation to its end: a tensor's storage, or what a kernel takes for itself.

    Attributes:
        bytes: as requested, before the allocator rounds.
        category, phase: what it is, and when it was born.
        module: dotted path of the module that ran; layer: its index among the layers, -1 outside them.
        operator: who asked for it, such as `aten.mm.default`; stream: whose pool serves it.
    """

    bytes: int
    category: Category
    phase: Phase
    module: str = ""
    layer: int = -1
    operator: str = ""
    stream: int = 0


class Event(NamedTuple):
    """Block number `block` of the timeline is allocated (`born`), or freed."""

    born: bool
    block: int


class Mark(NamedTuple):
    """From event number `event` on, this is what the program does."""

    event: int
    phase: Phase
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """
    Alloc and free events in program order; marks name the phases. A block without a free lives to the end.

    Raises:
        AssertionError: a block is freed before it is born, or twice.
    """

    blocks: tuple[Block, ...]
    events: tuple[Event, ...]
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        alive: set[int] = set()
        for born, block in self.events:
            assert born != (block in alive), (block, born)
            (alive.add if born else alive.remove)(block)
