"""The CPU's meter against sizes worked out by hand."""

import pytest
import torch

import vramcast
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Phase
from vramcast.measure.cpu_meter import CpuMeter
from vramcast.measure.storages import live_bytes, storage_bytes

FP32 = 4
MIB = 2**20


def test_peak_and_held_of_each_phase() -> None:
    """A phase's peak is the most that lived within it, `held` what was left, to the byte."""
    before = live_bytes("cpu")
    with vramcast.measure("cpu") as meter:
        meter.enter("two", Phase.FORWARD)
        one, two = torch.empty(1000), torch.empty(500)
        del two
        meter.enter("in place", Phase.BACKWARD)
        one.add_(one)
        meter.enter("copy", Phase.OPTIMIZER_STEP)
        copy = torch.empty_like(one)
        del one, copy
    assert [(r.name, r.phase, r.allocated - before, r.held - before) for r in meter.readings] == [
        ("two", Phase.FORWARD, 1500 * FP32, 1000 * FP32),
        ("in place", Phase.BACKWARD, 1000 * FP32, 1000 * FP32),
        ("copy", Phase.OPTIMIZER_STEP, 2000 * FP32, 0),
    ]
    assert all(r.reserved is None for r in meter.readings)


def test_a_block_without_phases_is_one_reading() -> None:
    """Nobody need name phases; what was alive before counts."""
    held = torch.empty(64 * MIB // FP32)
    with vramcast.measure() as meter:
        del (more := [torch.empty(100)])[:]
    (reading,) = meter.readings
    assert reading.allocated >= storage_bytes([held]) + 400
    assert reading.phase is Phase.RESIDENT
    assert more == []


def test_what_only_autograd_keeps_is_counted() -> None:
    """A tensor saved for the backward pass has no name in Python and is held all the same."""
    weight = torch.ones(1000, requires_grad=True)
    before = live_bytes("cpu")
    with CpuMeter() as meter:
        meter.enter("forward", Phase.FORWARD)
        result = weight.exp().exp()
        meter.enter("backward", Phase.BACKWARD)
        result.backward(torch.ones_like(result))
    forward, backward = (reading.held - before for reading in meter.readings)
    assert forward == 2 * 1000 * FP32
    assert backward == 2 * 1000 * FP32  # the result and the gradient; the first exponential is gone


def test_ram_rises_with_what_is_touched_and_the_mark_resets() -> None:
    """The process's peak is of the phase, not of the process's life."""
    with CpuMeter() as meter:
        meter.enter("large")
        large = torch.ones(256 * MIB // FP32)
        meter.enter("nothing")
        del large
        meter.enter("small")
    large_ram, _, small = (reading.process for reading in meter.readings)
    assert large_ram - small > 200 * MIB


def test_views_count_their_storage_once() -> None:
    """Two views of a storage take what the whole storage takes."""
    whole = torch.empty(10, 10)
    assert storage_bytes([whole[:2], whole[5]]) == 100 * FP32


@pytest.mark.parametrize("device", ["tpu", "cuda"])
def test_a_device_that_is_not_there(device: str) -> None:
    """Asked for by name, it is refused with what there is."""
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match=f"no device '{device}'"):
        vramcast.measure(device)
