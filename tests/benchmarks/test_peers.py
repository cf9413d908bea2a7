"""The trace beside MemTracker: both run, and the page says what they say."""

from dataclasses import replace

import pytest
from benchmarks.measured import timed, trace_of
from benchmarks.page import Reading, page
from benchmarks.peer import mem_tracker_of
from benchmarks.steps import FULL, LORA, STEPS, Step, grown

from vramcast.domain.run import TrainRun
from vramcast.units import MIB


@pytest.mark.parametrize("run", [FULL, LORA], ids=["full", "lora"])
def test_both_run_the_same_step(run: TrainRun) -> None:
    """Ours has CUDA's workspaces on top (32 MiB a handle on an H100), and little else; adapters are followed."""
    step = Step(title="", model="smollm2-135m", run=replace(run, seq_len=64), layers=1)
    ours, theirs = timed(trace_of(step)), timed(mem_tracker_of(step))
    assert 60 * MIB < ours["answer"]["allocated"] - theirs["answer"]["allocated"] < 72 * MIB
    assert min(ours["wall"], theirs["cpu"]) > 0
    assert ours["peak"] >= ours["before"] > 0


def test_what_grows_is_named() -> None:
    """B, T and L each change one thing of the step."""
    one = grown("B", 1)
    assert grown("B", 4).run == replace(one.run, micro_batch=4)
    assert grown("T", 4).run == replace(one.run, seq_len=4096)
    assert grown("L", 4).config["num_hidden_layers"] == 4 * grown("L", 1).config["num_hidden_layers"]


def test_the_page_shows_aims_and_silence() -> None:
    """Seconds, MiB and GB of both; an aim where there is one; why there is no answer."""
    ours = {"wall": 2.04, "cpu": 1.5, "before": 390 * 1024, "peak": 420 * 1024, "answer": {"allocated": 80_302_000_000}}
    readings = [
        Reading(step=STEPS["full"], ours=ours, theirs=ours | {"wall": 80.66}),
        Reading(step=STEPS["qlora"], ours=ours, theirs=None, why="no answer in 900 s"),
    ]
    lines = page(readings, {"B": [ours] * 3}, "h100", 900.0, 2).splitlines()
    first, second = (line for line in lines if line.startswith("| Llama"))
    assert "| 2.0 s (1.5) | — | 80.7 s (1.5) | 420 MiB (30) | 420 MiB (30) | 80.30 GB | 80.30 GB |" in first
    assert "| 2.0 s (1.5) | 3 s | no answer in 900 s | 420 MiB (30) | — | 80.30 GB | — |" in second
    assert lines[-1] == "| B: micro-batch 1, 4, 16 | 2.0 s (1.5) | 2.0 s (1.5) | 2.0 s (1.5) |"
