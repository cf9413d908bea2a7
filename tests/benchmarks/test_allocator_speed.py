"""How many events a second the simulated allocator takes. Reported by `make bench`, not asserted."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.timelines import Program
from vramcast.domain.timeline import Timeline
from vramcast.trace.allocator_settings import AllocatorSettings
from vramcast.trace.replay import replay
from vramcast.units import MIB

pytestmark = pytest.mark.speed

HIDDEN, WIDTH, TOKENS, LAYERS, STEPS = 4096, 14336, 2048, 32, 10
SAVED = (
    4,
    2,
    2,
    0.001,
    2,
    0.5,
    0.5,
    2,
    2,
    0.03,
    2,
    4,
    2,
    7,
    7,
    7,
    7,
    2,
    2,
)  # bytes a token and hidden element of a layer
SETTINGS = {"default": AllocatorSettings(), "expandable": AllocatorSettings(expandable_segments=True)}


def training() -> Timeline:
    """Weights, then steps of a model of 8 billion parameters: activations that live, temporaries that do not, gradients."""
    program = Program()
    weights = (HIDDEN * HIDDEN, HIDDEN * HIDDEN // 4, HIDDEN * WIDTH, HIDDEN)
    for _ in range(LAYERS):
        for elements in (weights[0], weights[1], weights[1], weights[0], *[weights[2]] * 3, weights[3], weights[3]):
            program.ask(2 * elements)
    for _ in range(STEPS):
        saved = [_forward(program) for _ in range(LAYERS)]
        for blocks in reversed(saved):
            _backward(program, blocks)
    return program.timeline


def _forward(program: Program) -> list[int]:
    blocks = []
    for per_token in SAVED:
        blocks.append(program.ask(per_token * HIDDEN * TOKENS))
        program.give(program.ask(2 * per_token * HIDDEN * TOKENS))
    program.give(program.ask(4))
    return blocks


def _backward(program: Program, blocks: list[int]) -> None:
    gradient = program.ask(2 * HIDDEN * TOKENS)
    for block in reversed(blocks):
        following = program.ask(program.blocks[block].bytes)
        program.give(program.ask(8 * MIB), block, gradient)
        gradient = following
    program.give(gradient)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.benchmark(group="allocator: training steps of an 8B model; the events a second are in the extra info")
def test_replay(benchmark: BenchmarkFixture, name: str) -> None:
    """A million events a second are a microsecond each."""
    timeline = training()
    benchmark(replay, timeline, SETTINGS[name])
    benchmark.extra_info["events"] = len(timeline.events)
    if benchmark.stats:
        benchmark.extra_info["million events a second"] = round(len(timeline.events) / benchmark.stats["min"] / 1e6, 2)
