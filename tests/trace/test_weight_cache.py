"""
The casts of weights that autocast keeps: how many are made, and how long they live.

The CPU has torch's own autocast, whose cache is CUDA's; the stand-in has ours.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from vramcast.trace.recorder import Recorder
from vramcast.trace.session import CPU, tracing
from vramcast.trace.standin import NAME

BF16 = torch.bfloat16
SIDE = 16
WEIGHT = 2 * SIDE * SIDE  # bytes of a weight in BF16; inputs are smaller
DEVICES = (CPU, NAME)
_CASTS = (torch.ops.aten._to_copy.default, torch.ops.aten.to.dtype)


class Casts(TorchDispatchMode):
    """Counts casts of whole weights to BF16."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _CASTS and args[0].numel() == SIDE * SIDE:
            self.count += args[0].dtype is torch.float32 and result.dtype is BF16
        return result


def weights(*trained: bool) -> list[Tensor]:
    """FP32 weights."""
    return [torch.empty(SIDE, SIDE, requires_grad=one) for one in trained]


def used(those: list[Tensor], times: int) -> Tensor:
    """All of them, one after the other, so many times."""
    x = torch.empty(1, SIDE)
    for _ in range(times):
        for weight in those:
            x = x @ weight
    return x


@pytest.mark.parametrize(
    ("trained", "cached", "casts"), [(True, True, 1), (False, True, 3), (True, False, 3), (False, False, 3)]
)
@pytest.mark.parametrize("device", DEVICES)
def test_a_trained_weight_is_cast_once(device: str, trained: bool, cached: bool, casts: int) -> None:
    """A frozen one, or any with the cache off, is cast at each of three uses."""
    with tracing(device), Casts() as seen, torch.autocast(device, BF16, cache_enabled=cached):
        used(weights(trained), 3)
    assert seen.count == casts


@pytest.mark.parametrize("device", DEVICES)
def test_each_outermost_autocast_casts_anew(device: str) -> None:
    """Twice outermost: two casts; twice within another: one."""
    with tracing(device), Casts() as apart:
        weight = weights(True)
        for _ in range(2):
            with torch.autocast(device, BF16):
                used(weight, 2)
    with tracing(device), Casts() as within, torch.autocast(device, BF16):
        weight = weights(True)
        for _ in range(2):
            with torch.autocast(device, BF16):
                used(weight, 2)
    assert (apart.count, within.count) == (2, 1)


@pytest.mark.parametrize(("how", "casts"), [(torch.no_grad, 1), (torch.inference_mode, 3)])
@pytest.mark.parametrize("device", DEVICES)
def test_a_cast_made_without_gradients_serves_with_them(device: str, how: Any, casts: int) -> None:
    """Kept under no_grad, its gradient reaches the weight; inference mode keeps none."""
    with tracing(device), Casts() as seen, torch.autocast(device, BF16):
        (weight,) = weights(True)
        with how():
            used([weight], 2)
        used([weight], 1).sum().backward()
        assert weight.grad is not None
    assert seen.count == casts


def live(recorder: Recorder) -> int:
    """Casts of weights that live now."""
    record = recorder.timeline()
    alive: set[int] = set()
    for born, block in record.events:
        (alive.add if born else alive.remove)(block)
    return sum("_to_copy" in record.blocks[block].operator and record.blocks[block].bytes == WEIGHT for block in alive)


def test_casts_live_as_long_as_the_outermost_autocast() -> None:
    """Without a graph a trained weight's cast is held until then, and a frozen one's by nobody."""
    with tracing() as recorder, torch.no_grad():
        those = weights(True, False)
        with torch.autocast(NAME, BF16):
            with torch.autocast(NAME, BF16):
                used(those, 1)
                assert live(recorder) == 1
            assert live(recorder) == 1
        assert live(recorder) == 0


def test_a_disabled_autocast_casts_nothing() -> None:
    """Within an enabled one, whose cache it leaves alone."""
    with tracing() as recorder, Casts() as casts, torch.autocast(NAME, BF16):
        those = weights(True)
        with torch.autocast(NAME, enabled=False):
            assert used(those, 2).dtype is torch.float32
        assert casts.count == live(recorder) == 0


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize(
    ("device", "within", "casts"), [(CPU, False, 6), (NAME, False, 6), (CPU, True, 3), (NAME, True, 5)]
)
def test_recomputing_casts_again(device: str, reentrant: bool, within: bool, casts: int) -> None:
    """
    Three checkpointed blocks cast in the forward pass and again as each is recomputed, unless all is one autocast.

    An accelerator's backward pass has a thread of its own, where no autocast is outside the first block's: it ends the cache.
    """
    with tracing(device) as recorder, Casts() as counted:
        those = weights(True, True, True)
        with torch.autocast(device, BF16):
            x = torch.empty(1, SIDE, requires_grad=True)
            for weight in those:
                x = again(weight, x, reentrant)
            if within:
                x.sum().backward()
        if not within:
            x.sum().backward()
        del x
        assert live(recorder) == 0
    assert counted.count == casts


def again(weight: Tensor, x: Tensor, reentrant: bool) -> Tensor:
    """One checkpointed block."""

    def block(y: Tensor) -> Tensor:
        return y @ weight @ weight

    out: Tensor = checkpoint(block, x, use_reentrant=reentrant)
    return out


def test_torchs_own_function_is_back() -> None:
    """After a trace, and after one that failed."""
    own = torch.clear_autocast_cache
    with tracing():
        assert torch.clear_autocast_cache is not own
    with pytest.raises(KeyError), tracing():
        raise KeyError
    assert torch.clear_autocast_cache is own
