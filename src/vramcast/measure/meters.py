"""The meter for the device at hand."""

from pathlib import Path

import torch

from vramcast.domain.errors import InputError
from vramcast.measure.cpu_meter import CPU, CpuMeter
from vramcast.measure.cuda_meter import CUDA, CudaMeter

Meter = CpuMeter | CudaMeter


def measure(device: str | None = None, *, snapshot: Path | None = None) -> Meter:
    """
    A meter to run code under: `with vramcast.measure() as m: m.enter("forward"); ...`, then `m.readings`.

    Args:
        device: `cpu` or `cuda`; None: CUDA if there is one.
        snapshot: a file for torch's record of the CUDA allocator.

    Raises:
        InputError: there is no such device, or the CPU shall write a snapshot.
    """
    wanted = device or (CUDA if torch.cuda.is_available() else CPU)
    if wanted == CPU:
        if snapshot is not None:
            raise InputError("the CPU's allocator has no snapshot", "device='cuda'")
        return CpuMeter()
    if wanted != CUDA or not torch.cuda.is_available():
        raise InputError(f"there is no device {wanted[:40]!r} here", "cpu, or cuda where torch finds one")
    return CudaMeter(snapshot)
