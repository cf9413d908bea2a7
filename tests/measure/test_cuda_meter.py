"""The CUDA meter asks torch and the device in the right order; the counters are made up, for there is no device here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vramcast.domain.forecast import Phase
from vramcast.measure import cuda_meter
from vramcast.measure.cuda_meter import CudaMeter, in_use_by_all
from vramcast.units import MIB

TOTAL, OTHERS, CONTEXT, POOL = 1000 * MIB, 100 * MIB, 300 * MIB, 2 * MIB


class MadeUp:
    """A device on which others use some memory; the program's peak is set by hand."""

    def __init__(self) -> None:
        self.peak = self.live = 0
        self.said: list[str] = []

    def read(self, name: str) -> Any:
        """What torch.cuda's function of that name returns."""
        self.said.append(name)
        return {
            "is_initialized": False,
            "mem_get_info": (TOTAL - OTHERS - CONTEXT - POOL - self.peak, TOTAL),
            "memory_reserved": POOL,
            "max_memory_allocated": self.peak,
            "memory_allocated": self.live,
            "max_memory_reserved": POOL + self.peak,
        }.get(name)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """Stands in torch's place."""
    made = MadeUp()
    names = (
        *("is_initialized", "mem_get_info", "memory_reserved", "max_memory_allocated", "memory_allocated"),
        *("max_memory_reserved", "synchronize", "empty_cache", "reset_peak_memory_stats"),
    )
    for name in names:
        monkeypatch.setattr(torch.cuda, name, lambda name=name: made.read(name))
    monkeypatch.setattr(cuda_meter, "in_use_by_all", lambda: OTHERS)
    monkeypatch.setattr(cuda_meter, "torch", SimpleNamespace(cuda=torch.cuda, zeros=lambda *_, **__: object()))
    return made


def test_phases_are_read_at_their_ends(device: MadeUp) -> None:
    """Each phase has its own peak; the context is measured alone; what others use is nobody's."""
    with CudaMeter() as meter:
        meter.enter("forward", Phase.FORWARD)
        device.peak, device.live = 50 * MIB, 10 * MIB
        meter.enter("backward", Phase.BACKWARD)
        device.peak, device.live = 70 * MIB, 0
    assert meter.context == CONTEXT
    forward, backward = meter.readings
    assert (forward.name, forward.allocated, forward.held) == ("forward", 50 * MIB, 10 * MIB)
    assert (backward.phase, backward.allocated, backward.held) == (Phase.BACKWARD, 70 * MIB, 0)
    assert backward.reserved == POOL + 70 * MIB
    assert backward.process == CONTEXT + POOL + 70 * MIB


def test_peaks_are_forgotten_after_the_device_is_done(device: MadeUp) -> None:
    """Work in flight belongs to the phase that started it: synchronise, read, then reset."""
    with CudaMeter() as meter:
        meter.enter("first")
        device.said.clear()
        meter.enter("second")
        wanted = ["synchronize", "max_memory_allocated", "reset_peak_memory_stats"]
        order = [device.said.index(name) for name in wanted]
        assert order == sorted(order)


def test_a_snapshot_is_written(device: MadeUp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torch's record is asked for before the program runs and lies in the file afterwards."""
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda.memory, "_record_memory_history", lambda **options: asked.append(options))
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda: {"segments": []})
    with CudaMeter(tmp_path / "snapshot.pickle"):
        assert len(asked) == 1
    assert (tmp_path / "snapshot.pickle").read_bytes()
    assert asked[-1] == {"enabled": None}


def test_nvidia_smi_is_asked_for_the_device_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is in use comes from nvidia-smi, for the first visible device; without the program it is unknown, 0."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$*" in *--id=3*) echo 42;; *) exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert in_use_by_all() == 42 * MIB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    assert in_use_by_all() == 0
    monkeypatch.setenv("PATH", "/nowhere")
    assert in_use_by_all() == 0
