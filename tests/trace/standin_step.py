"""A training step on the stand-in device, and what its record says."""

from collections import Counter
from typing import Any, NamedTuple

import torch

from tests.trace.cpu_truth import Build
from vramcast.domain.forecast import Category
from vramcast.domain.run import TrainRun
from vramcast.domain.stack import Stack
from vramcast.domain.timeline import Block, Timeline
from vramcast.trace.quantized import place
from vramcast.trace.session import tracing
from vramcast.trace.train_step import train


class Step(NamedTuple):
    """Its timeline, and the bytes of states in managed memory."""

    timeline: Timeline
    paged: int

    def alive_at(self, mark: str) -> list[Block]:
        """Blocks that live when the phase begins."""
        at = next(one.event for one in self.timeline.marks if one.name == mark)
        alive: dict[int, Block] = {}
        for born, block in self.timeline.events[:at]:
            if born:
                alive[block] = self.timeline.blocks[block]
            else:
                del alive[block]
        return list(alive.values())

    def held_at(self, mark: str) -> Counter[Category]:
        """Bytes of each category when the phase begins."""
        held: Counter[Category] = Counter()
        for block in self.alive_at(mark):
            held[block.category] += block.bytes
        return held

    def of(self, category: Category) -> list[Block]:
        """All blocks of a category."""
        return [block for block in self.timeline.blocks if block.category is category]


def standin_step(build: Build, run: TrainRun, how: Stack, **options: Any) -> Step:
    """Two steps as a CUDA device would see them."""
    with torch.device("meta"):
        model = build()
    with tracing() as recorder:
        place(model, recorder.device)
        recorder.places.know(model)
        paged = train(model, run, how, recorder, **options)
    return Step(recorder.timeline(), paged)
