"""A traced run as a forecast: tiers, terms, moments, the target's kernels, notes."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.trace.test_build import LLAMA, run
from vramcast.app.predict import predict
from vramcast.catalog.gpus import find_device
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Category, Engine, Forecast
from vramcast.domain.run import AttentionKernel, Run, ServeRun, TrainRun
from vramcast.sources.read import read_config
from vramcast.trace.forecast import forecast, trace_run

if TYPE_CHECKING:
    from vramcast.domain.device import Device
    from vramcast.domain.timeline import Timeline

SERVED = ServeRun(kv_format=find_format("bf16"), max_model_len=16, max_num_seqs=2)
RUNS: dict[str, Run] = {"trained": run(), "served": SERVED}


def answer(how: Run, gpu: str | None = "rtx-4090", config: dict[str, Any] = LLAMA) -> Forecast:
    """The trace's forecast."""
    device = find_device(gpu) if gpu else None
    stack = find_stack("torch")
    return forecast(read_config(config, "small"), trace_run(config, how, stack, device), how, stack, device, ())


@pytest.mark.parametrize("name", RUNS)
def test_terms_sum_to_the_tiers(name: str) -> None:
    """Those alive at the peak are the allocated bytes; with idle segments the reserved; with context the process's."""
    found = answer(RUNS[name])
    assert found.engine is Engine.TRACE
    assert sum(term.bytes for term in found.peak.terms) == found.tiers.allocated == found.peak.allocated
    inside = [term for term in found.terms if term.category is not Category.RUNTIME]
    assert sum(term.bytes for term in inside) == found.tiers.reserved
    assert sum(term.bytes for term in found.terms) == found.tiers.process == found.tiers.high
    assert found.tiers.low == found.tiers.process - found.tiers.reserved + found.tiers.allocated
    assert found.verdict is not None and found.verdict.fits
    assert Category.UNEXPLAINED not in {term.category for term in found.terms}


@pytest.mark.parametrize(
    ("how", "phases"),
    [
        (run(), ["load", *[f"step {step} {part}" for step in (1, 2) for part in ("forward", "backward", "update")]]),
        (run(accum_steps=2), ["step 1 forward 1", "step 1 backward 1", "step 1 forward 2", "step 1 backward 2"]),
        (SERVED, ["load", "prefill", "decode"]),
    ],
)
def test_each_phase_has_a_moment(how: Run, phases: list[str]) -> None:
    """Two steps, of which the first creates optimizer states; each micro-batch; serving's own phases."""
    names = [moment.name for moment in answer(how).instants]
    for phase in phases:
        assert any(name.startswith(phase) for name in names), (phase, names)
    found = answer(how)
    assert found.peak.allocated == max(moment.allocated for moment in found.instants)


def attention_of(gpu: str | None, how: TrainRun, config: dict[str, Any] = LLAMA) -> set[str]:
    """Attention operators of the record."""
    device: Device | None = find_device(gpu) if gpu else None
    record: Timeline = trace_run(config, how, find_stack("torch"), device).timeline
    return {block.operator for block in record.blocks if "scaled_dot_product" in block.operator}


@pytest.mark.parametrize(
    ("gpu", "asked", "kernel"),
    [
        ("h100-80gb", AttentionKernel.SDPA, "cudnn"),
        ("a100-80gb", AttentionKernel.SDPA, "flash"),
        ("rtx-4090", AttentionKernel.SDPA, "flash"),
        (None, AttentionKernel.SDPA, "flash"),
        ("h100-80gb", AttentionKernel.FLASH, "flash"),
    ],
)
def test_the_device_chooses_attention(gpu: str | None, asked: AttentionKernel, kernel: str) -> None:
    """Unless the run names a kernel."""
    names = attention_of(gpu, run(attention=asked))
    assert names and all(kernel in name for name in names)


def test_a_kernel_for_equal_heads_is_not_run_on_groups() -> None:
    """The user hears it from us, not from a gradient of another shape."""
    with pytest.raises(UnsupportedError, match="in groups of 2"):
        attention_of("h100-80gb", run(attention=AttentionKernel.EFFICIENT))
    heads = LLAMA | {"num_key_value_heads": 4}
    assert attention_of("h100-80gb", run(attention=AttentionKernel.EFFICIENT), heads)


def test_attention_with_scores_runs_no_operator() -> None:
    """Eager attention and `math` are made of others."""
    for asked in (AttentionKernel.EAGER, AttentionKernel.MATH):
        assert not attention_of("h100-80gb", run(attention=asked))


def test_progress_is_told_each_phase() -> None:
    """As the trace enters it."""
    said: list[str] = []
    trace_run(LLAMA, run(), find_stack("torch"), None, progress=said.append)
    assert [word for word in said if word.startswith("step 2")] == [
        "step 2 forward",
        "step 2 backward",
        "step 2 update",
    ]
    trace_run(LLAMA, SERVED, find_stack("transformers"), None, progress=said.append)
    assert any("decode" in word for word in said)


def test_the_same_run_twice_is_the_same_forecast() -> None:
    """Nothing depends on what was traced before."""
    assert answer(run(), "h100-80gb") == answer(run(), "h100-80gb")


def test_more_layers_need_more() -> None:
    """Folded or not: the same step for each layer more."""
    peaks = [answer(run(), None, LLAMA | {"num_hidden_layers": count}).tiers.allocated for count in (10, 20, 30, 40)]
    steps = [after - before for before, after in pairwise(peaks)]
    assert len(set(steps)) == 1 and steps[0] > 0


def test_a_bare_number_of_parameters_cannot_be_traced() -> None:
    """There is no code to run."""
    with pytest.raises(InputError, match="no config to build a model from"):
        predict("8B", method="full", engine="trace")
