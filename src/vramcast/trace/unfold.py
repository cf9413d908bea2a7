"""
The events of a deep model from those of a shallow one.

Equal layers make equal events. A model is traced with a few of its repeating layers, and what one layer adds to each loop of the
program (its pass forward, its pass backward, its turn in the optimizer's step) is repeated for the layers that were left out.

A *unit* is the smallest run of layers that repeats: one layer, or a pattern such as five local layers and a global one. Units
are counted from 0; the first and the last may differ from the rest (the first has no gradient to hand on). Every event of a
unit has an *ordinal*, the same in every inner unit. A *loop* is a stretch of the program that visits the units one after the
other, upwards or downwards; its *period* is the stretch from one unit's event to the next unit's event of the same ordinal.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.timeline import Block, Event, Mark, Timeline
from vramcast.trace.garbage import no_garbage

KEPT_UNITS = 6
OUTSIDE = -1
INNER = (2, 3, 4)  # neighbours, none of them first or last, nor beside the first
_LAYER = re.compile(r"((?:^|\.))(\d+)(?=\.|$)")


class NotPeriodicError(ValueError):
    """The shallow model's events do not repeat from unit to unit, so that nothing can be said of a deeper one."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Layers `first`, `first + 1`, … repeat every `length` layers, for KEPT_UNITS units in the traced model."""

    first: int
    length: int

    def unit(self, layer: int) -> int:
        """The unit of a layer, -1 for a layer outside the pattern."""
        unit = (layer - self.first) // self.length
        return unit if layer >= self.first and unit < KEPT_UNITS else OUTSIDE


class _Loop(NamedTuple):
    """Ordinals that one loop visits, and the period [start, end) that is repeated."""

    ordinals: tuple[int, ...]
    start: int
    end: int
    upwards: bool


class _Tagged(NamedTuple):
    """Unit and ordinal of an event, (-1, -1) outside the units."""

    unit: int
    ordinal: int


Gathered = Mapping[int, Mapping[int, int]]


@no_garbage()
def unfold(timeline: Timeline, pattern: Pattern, extra: int, gathered: Gathered | None = None) -> Timeline:
    """
    The timeline of the same program with `extra` more units.

    `gathered` tells of blocks outside the units how many of their bytes come from which layer: they grow with the units.

    Raises:
        NotPeriodicError: the events of inner units differ, or the periods of a loop do.
    """
    if extra <= 0:
        return timeline
    tags = _tags(timeline, pattern)
    loops = _loops(tags)
    for loop in loops:
        _check(timeline, tags, loop)
    return _Writer(timeline, pattern, tags, loops, extra, gathered or {}).written()


def _tags(timeline: Timeline, pattern: Pattern) -> list[_Tagged]:
    """Unit and ordinal of each event: a unit's blocks are numbered as they are born, each has two events at most."""
    counts: dict[int, int] = {}
    numbers: list[_Tagged] = []
    for block in timeline.blocks:
        unit = pattern.unit(block.layer)
        numbers.append(_Tagged(unit, counts.get(unit, 0)))
        counts[unit] = counts.get(unit, 0) + 1
    if len({counts.get(unit, 0) for unit in INNER}) != 1:
        raise NotPeriodicError(f"inner units have {[counts.get(unit, 0) for unit in INNER]} blocks")
    return [
        _Tagged(-1, -1) if (tag := numbers[block]).unit < 0 else _Tagged(tag.unit, 2 * tag.ordinal + (not born))
        for born, block in timeline.events
    ]


def _loops(tags: Sequence[_Tagged]) -> list[_Loop]:
    """Ordinals whose periods overlap and run the same way belong to one loop."""
    before, middle, _ = (_positions(tags, unit) for unit in INNER)
    if before.keys() != middle.keys():
        raise NotPeriodicError("inner units' events differ")
    loops: list[_Loop] = []
    for ordinal, here in sorted(before.items(), key=lambda item: min(item[1], middle[item[0]])):
        there = middle[ordinal]
        start, end, upwards = min(here, there), max(here, there), there > here
        last = loops[-1] if loops else None
        # Some events of a unit come while the next one is visited, one period later at most.
        if last and start < 2 * last.end - last.start and upwards is last.upwards:
            loops[-1] = last._replace(ordinals=(*last.ordinals, ordinal))
        else:
            loops.append(_Loop((ordinal,), start, end, upwards))
    return loops


def _positions(tags: Sequence[_Tagged], unit: int) -> dict[int, int]:
    return {tag.ordinal: position for position, tag in enumerate(tags) if tag.unit == unit}


def _check(timeline: Timeline, tags: Sequence[_Tagged], loop: _Loop) -> None:
    """The period that will be repeated equals the one beside it, and closes what it opens outside the units."""
    visited = sorted(tag.ordinal for tag in tags[loop.start : loop.end] if tag.unit >= 0)
    if visited != sorted(loop.ordinals):
        raise NotPeriodicError("a period has events of another loop")
    first, second, third = (_positions(tags, unit)[loop.ordinals[0]] for unit in INNER)
    other = (second, third) if loop.upwards else (third, second)
    one, two = _shape(timeline, tags, loop.start, loop.end, INNER[0]), _shape(timeline, tags, *other, INNER[1])
    if one != two:
        raise NotPeriodicError(f"events {first} and {second} open different periods")


def _shape(timeline: Timeline, tags: Sequence[_Tagged], start: int, end: int, unit: int) -> list[object]:
    """What a period does, with units counted from `unit` and blocks outside the units from the period's start."""
    opened: dict[int, int] = {}
    shape: list[object] = []
    for position in range(start, end):
        born, number = timeline.events[position]
        tag, block = tags[position], timeline.blocks[number]
        if tag.unit >= 0:
            name: object = (tag.unit - unit, tag.ordinal)
        elif born:
            name = opened[number] = len(opened)
        else:
            if number not in opened:
                raise NotPeriodicError(f"{block.operator} outlives the layer that made it")
            name = opened.pop(number)
        shape.append((name, block.bytes, block.category, block.operator))
    if opened:
        raise NotPeriodicError(f"{timeline.blocks[next(iter(opened))].operator} outlives the layer that made it")
    return shape


class _Writer:
    """Writes the longer timeline, event by event, and the repeated periods where their loops have them."""

    def __init__(
        self,
        timeline: Timeline,
        pattern: Pattern,
        tags: Sequence[_Tagged],
        loops: Sequence[_Loop],
        extra: int,
        gathered: Gathered,
    ) -> None:
        self._old, self._pattern, self._tags, self._extra = timeline, pattern, tags, extra
        self._loops = loops
        self._gathered = gathered
        self._loop_of = {ordinal: loop for loop in loops for ordinal in loop.ordinals}
        self._blocks: list[Block] = []
        self._events: list[Event] = []
        self._known: dict[tuple[int, int, int], int] = {}

    def written(self) -> Timeline:
        """The longer timeline."""
        ends = {loop.end: loop for loop in self._loops}
        moved: list[int] = []
        for position in range(len(self._old.events)):
            if position in ends:
                self._repeat(ends[position])
            moved.append(len(self._events))
            self._write(position, self._shift(position), 0)
        moved.append(len(self._events))
        marks = tuple(Mark(moved[mark.event], mark.phase, mark.name) for mark in self._old.marks)
        return Timeline(blocks=tuple(self._blocks), events=tuple(self._events), marks=marks)

    def _repeat(self, loop: _Loop) -> None:
        for copy in range(1, self._extra + 1):
            shift = copy if loop.upwards else self._extra - copy
            for position in range(loop.start, loop.end):
                self._write(position, shift if self._tags[position].unit >= 0 else 0, copy)

    def _shift(self, position: int) -> int:
        """Units to add to an event of the traced model, outside the copies."""
        unit, ordinal = self._tags[position]
        if unit <= 0:
            return 0
        if unit == KEPT_UNITS - 1:
            return self._extra
        loop = self._loop_of.get(ordinal)
        if loop is None:
            raise NotPeriodicError(f"only some inner units have event {ordinal}")
        return self._extra if (position >= loop.end) is loop.upwards else 0

    def _write(self, position: int, shift: int, copy: int) -> None:
        born, number = self._old.events[position]
        tag = self._tags[position]
        key = (OUTSIDE, number, copy) if tag.unit < 0 else (tag.unit + shift, tag.ordinal // 2, 0)
        if born:
            self._known[key] = len(self._blocks)
            self._blocks.append(self._grown(number, _moved(self._old.blocks[number], shift * self._pattern.length)))
        self._events.append(Event(born, self._known[key]))

    def _grown(self, number: int, block: Block) -> Block:
        """A block that gathers bytes from every unit has some from the added ones too."""
        layers = self._gathered.get(number)
        if not layers:
            return block
        one = sum(size for layer, size in layers.items() if self._pattern.unit(layer) == INNER[0])
        return block._replace(bytes=block.bytes + self._extra * one)


def _moved(block: Block, layers: int) -> Block:
    """The same block some layers on."""
    if not layers:
        return block
    module = _LAYER.sub(lambda found: f"{found[1]}{int(found[2]) + layers}", block.module, count=1)
    return block._replace(layer=block.layer + layers, module=module)
