"""A case really runs, on the CPU, by the code that runs it on a GPU."""

import pickle
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ledger.cuda import compact
from ledger.gpu_matrix import run_matrix
from ledger.matrix import Case, matrix
from ledger.measure import measure, real_model
from ledger.processes import Processes, WorkerError
from ledger.rows import Reading, read

from ledger import matrix as shapes
from tests.ledger.test_rows import CARD, SMALL, VERSIONS
from vramcast.domain.run import Method, Optimizer
from vramcast.trace.snapshot import read_snapshot

PHASES = ["forward", "backward", "optimizer step"]


class HostCounters:
    """What the process holds, in place of a GPU's counters."""

    def __init__(self) -> None:
        self.resets = 0

    def begin(self) -> None:
        """Nothing is released."""

    def reset(self) -> None:
        """Count."""
        self.resets += 1

    def read(self) -> tuple[int, int, int]:
        """The same figure three times."""
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used, used, used


def small(method: Method, family: str = "llama") -> Case:
    """A case of the matrix, its step short."""
    case = next(case for case in matrix() if case.run.method is method and case.family == family)
    return replace(case, run=replace(case.run, seq_len=16, optimizer=Optimizer.ADAMW_FOREACH), layers=2)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Families of tiny models."""
    for family, config in shapes.FAMILIES.items():
        heads = {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "pad_token_id": 0}
        monkeypatch.setitem(shapes.FAMILIES, family, config | SMALL | {k: v for k, v in heads.items() if k in config})


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.usefixtures("tiny")
def test_two_real_steps_are_read_phase_by_phase(method: Method) -> None:
    """Both steps have their three phases in order, and the peaks are reset at each."""
    counters = HostCounters()
    readings, seconds = measure(small(method), "cpu", counters)
    assert [reading.phase for reading in readings] == PHASES * 2
    assert [reading.name for reading in readings][:2] == ["step 1 forward", "step 1 backward"]
    assert counters.resets == len(readings) + 1
    assert all(reading.process > 0 for reading in readings)
    assert seconds > 0


@pytest.mark.usefixtures("tiny")
def test_quantised_layers_hold_real_numbers() -> None:
    """bitsandbytes quantised them: decoded, they have the spread of the random weights that went in."""
    from bitsandbytes.functional import dequantize_4bit

    model = real_model(small(Method.QLORA), "cpu")
    weights = [one for one in model.parameters() if getattr(one, "bnb_quantized", False)]
    assert len(weights) == 2 * 7
    decoded: Any = dequantize_4bit(weights[0].data, weights[0].quant_state)
    assert 0.015 < decoded.float().std().item() < 0.025


@pytest.mark.usefixtures("tiny")
def test_tokens_differ() -> None:
    """The step's zeros become random tokens in place, so that experts share them."""
    model = real_model(small(Method.FULL, "mixtral"), "cpu")
    ids = torch.zeros(1, 64, dtype=torch.long)
    model(input_ids=ids)
    assert ids.unique().numel() > 8


def held(*sizes: int) -> tuple[tuple[Reading, ...], float]:
    """A measurement that was made up."""
    return tuple(Reading(phase="forward", name="f", allocated=s, reserved=s, process=s) for s in sizes), 1.0


def failing(*_: int) -> None:
    """Stands for a step that the card cannot hold."""
    raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")


def endless(*_: int) -> None:
    """Stands for a step that hangs."""
    while True:
        pass


def test_processes_answer_fail_or_are_stopped(tmp_path: Path) -> None:
    """An answer comes back, an error with its first line, and what does not answer is stopped."""
    processes = Processes(tmp_path)
    card, versions = processes.look()
    assert card is None or card.memory > 0
    assert {"torch", "transformers", "peft"} <= versions.keys()
    assert processes.call(held, 1, 2, limit=60) == held(1, 2)
    with pytest.raises(WorkerError, match=r"^OutOfMemoryError: CUDA out of memory\.$"):
        processes.call(failing, limit=60)
    with pytest.raises(WorkerError, match="no answer in 1 s"):
        processes.call(endless, limit=1)


def test_a_compact_snapshot_still_replays(tmp_path: Path) -> None:
    """Without frames and whatever else it does not read, the reader finds the same segments and actions."""
    frames = [{"name": "f", "filename": "f.py", "line": 1}]
    block = {"address": 512, "size": 512, "requested_size": 400, "state": "active_allocated", "frames": frames}
    segment = {"device": 0, "address": 512, "total_size": 512, "stream": 0, "segment_type": "small", "blocks": [block]}
    entry = {"action": "alloc", "addr": 512, "size": 400, "stream": 0, "frames": frames, "time_us": 1}
    raw = {"segments": [segment], "device_traces": [[entry]], "allocator_settings": {"other": 1}, "external": [1]}
    for name, content in (("whole", raw), ("small", compact(raw))):
        (tmp_path / name).write_bytes(pickle.dumps(content))
    whole, compacted = (read_snapshot(tmp_path / name) for name in ("whole", "small"))
    assert compacted.segments == whole.segments
    assert [entry._replace(frame=None) for entry in whole.entries] == list(compacted.entries)
    assert (tmp_path / "small").stat().st_size < (tmp_path / "whole").stat().st_size


@pytest.mark.usefixtures("tiny")
def test_from_the_matrix_to_the_ledger(tmp_path: Path) -> None:
    """A small case, really run, becomes a row that reads back."""

    def on_this_host(case: Case, snapshot: str, limit: float) -> tuple[tuple[Reading, ...], float]:
        return measure(replace(case, layers=2), "cpu", HostCounters())

    assert run_matrix([small(Method.LORA)], CARD, VERSIONS, tmp_path / "gpu.jsonl", on_this_host, 600) == 1
    (row,) = read(tmp_path / "gpu.jsonl")
    assert row.peak("process") > 0
