"""Everything that must be in place while a program is traced."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vramcast.trace import standin
from vramcast.trace.places import Places
from vramcast.trace.recorder import Recorder

CPU = "cpu"


@contextmanager
def tracing(device: str = standin.NAME) -> Iterator[Recorder]:
    """
    Fake tensors, and a recorder of the storages on `device`.

    On the stand-in device (the CUDA dress) operators run as CUDA's do; on `cpu` (the CPU dress) as the CPU's do, so that a
    real step on the CPU can be held against it, storage by storage.
    """
    recorder = Recorder(device, Places())
    with FakeTensorMode(allow_non_fake_inputs=True), recorder.following(), torch.device(device):
        yield recorder
