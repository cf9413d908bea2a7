"""Everything that must be in place while a program is traced."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.utils import import_utils

from vramcast.trace import standin
from vramcast.trace.autocast import cleared_with_torchs_own
from vramcast.trace.backward_errors import given_back
from vramcast.trace.interrupt import Interrupt
from vramcast.trace.places import Places
from vramcast.trace.recorder import HiddenBytes, Recorder
from vramcast.trace.values import Values

CPU = "cpu"


class _FakeTensorMode(FakeTensorMode):
    """No constant is ever copied to the device: there is none. Torch's flag for that is each thread's own, autograd's too."""

    avoid_device_init = True

    def __init__(self, interrupt: Interrupt) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._interrupt = interrupt

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As ever, with the flag set, and an ear for Ctrl-C."""
        self._interrupt.check()
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__torch_dispatch__(func, types, args, kwargs)


@contextmanager
def tracing(device: str = standin.NAME, hidden: HiddenBytes | None = None) -> Iterator[Recorder]:
    """
    Fake tensors, a recorder of the storages on `device`, and the values of small whole numbers.

    On the stand-in device (the CUDA dress) operators run as CUDA's do; on `cpu` (the CPU dress) as the CPU's do, so that a
    real step on the CPU can be held against it, storage by storage. `hidden` tells what kernels take for themselves.
    """
    recorder = Recorder(device, Places(), hidden)
    interrupt = Interrupt()
    fake = _FakeTensorMode(interrupt)
    with (
        interrupt.heard(),
        given_back(),
        _taken_for_real(),
        _autocast_of(device),
        cleared_with_torchs_own(),
        fake,
        recorder.following(),
        Values(),
        torch.device(device),
    ):
        recorder.get_ready()
        yield recorder


@contextmanager
def _autocast_of(device: str) -> Iterator[None]:
    """
    Autocast as CUDA has it, in FP16 unless another format is named.

    Code that asks whether it is on, and names no device, means CUDA (PEFT beside 4-bit layers): it hears of ours.
    """
    asks, chosen = torch.is_autocast_enabled, torch.get_autocast_dtype(device)
    if device == standin.NAME:
        torch.is_autocast_enabled = lambda *named: asks(*(named or (device,)))
        torch.set_autocast_dtype(device, torch.float16)
    try:
        yield
    finally:
        torch.is_autocast_enabled = asks
        torch.set_autocast_dtype(device, chosen)


@contextmanager
def _taken_for_real() -> Iterator[None]:
    """transformers' code takes fake tensors for a graph being traced, and then builds masks that a real run skips."""
    asks = import_utils.is_fake_tensor
    import_utils.is_fake_tensor = _no
    try:
        yield
    finally:
        import_utils.is_fake_tensor = asks


def _no(x: Any) -> bool:  # noqa: ARG001 - named as in transformers
    return False
