"""How fast it answers. Reported by `make bench`, not asserted: a busy machine is no bug."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from vramcast.app.predict import predict
from vramcast.sources.resolve import load_model

pytestmark = pytest.mark.speed

QUESTION = ("predict", "llama-3.1-8b", "--method", "qlora", "--gpu", "rtx-4090")
COLD = {
    "vramcast predict": (str(Path(sys.executable).with_name("vramcast")), *QUESTION),
    "import click, rich": (sys.executable, "-c", "import click, rich"),
    "python alone": (sys.executable, "-c", ""),
}


@pytest.mark.parametrize("name", COLD)
@pytest.mark.benchmark(group="cold: a new process each time; predict should take at most 2.5 × import click, rich")
def test_cold_start(benchmark: BenchmarkFixture, name: str) -> None:
    """A whole process, as a person waits for it."""
    options = {"capture_output": True, "check": True}
    benchmark.pedantic(subprocess.run, args=(COLD[name],), kwargs=options, rounds=20, warmup_rounds=2)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.benchmark(group="warm: forecasts in one process, each of another batch; 2,000 a second are 500 µs each")
def test_training_forecasts(benchmark: BenchmarkFixture, method: str) -> None:
    """A training run nobody asked about before: the batch and the length vary from call to call."""
    model = load_model("llama-3.1-8b")
    shapes = itertools.cycle(itertools.product(range(1, 33), range(128, 16_385, 128)))

    def forecast() -> None:
        micro_batch, seq_len = next(shapes)
        predict(model, device="rtx-4090", method=method, micro_batch=micro_batch, seq_len=seq_len)

    benchmark(forecast)


@pytest.mark.benchmark(group="warm: a model's name to its layers")
def test_load_model(benchmark: BenchmarkFixture) -> None:
    """A catalog name, read again."""
    benchmark(load_model, "llama-3.1-8b")
