"""What a program takes on a CUDA device: torch's own counters, and what the device says is in use."""

import os
import pickle
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from vramcast.domain.forecast import Phase
from vramcast.measure.reading import BEFORE, Open, Reading
from vramcast.units import MIB

CUDA = "cuda"
ACTIONS = 1_000_000  # of the allocator, that a snapshot remembers
PATIENCE = 30.0  # seconds for nvidia-smi


class CudaMeter:
    """
    Reads torch's peaks phase by phase, while it is entered as a context; `readings` are there afterwards.

    `context` is what the process takes on the device before any tensor: the CUDA context with torch's kernels; None where
    the process had woken CUDA before; `process` of a reading then counts all that is in use, others' bytes too. It has the
    context in it. `snapshot` names a file for torch's record of the
    allocator, as torch.cuda.memory documents it.

    Source:   torch.cuda.max_memory_allocated, max_memory_reserved, mem_get_info; nvidia-smi before the context is there.
    Ignores:  what other processes take or give back meanwhile.
    """

    device = CUDA

    def __init__(self, snapshot: Path | None = None) -> None:
        self.readings: tuple[Reading, ...] = ()
        self.context: int | None = None
        self._snapshot = snapshot
        self._others = 0
        self._open = BEFORE

    def __enter__(self) -> Self:
        if not torch.cuda.is_initialized():
            self._others = in_use_by_all()
            kept = torch.zeros(1, device=CUDA)
            self.context = in_use() - self._others - torch.cuda.memory_reserved()
            del kept
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        if self._snapshot is not None:
            torch.cuda.memory._record_memory_history(max_entries=ACTIONS)
        torch.cuda.reset_peak_memory_stats()
        return self

    def enter(self, name: str, phase: Phase = Phase.RESIDENT) -> None:
        """From here on the program does this."""
        if self._open is not BEFORE:
            self._close()
        self._open = Open(phase=phase, name=name)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        torch.cuda.synchronize()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
        if self._snapshot is not None:
            self._snapshot.write_bytes(pickle.dumps(torch.cuda.memory._snapshot()))
            torch.cuda.memory._record_memory_history(enabled=None)

    def _close(self) -> None:
        torch.cuda.synchronize()
        reading = Reading(
            phase=self._open.phase,
            name=self._open.name,
            allocated=torch.cuda.max_memory_allocated(),
            held=torch.cuda.memory_allocated(),
            reserved=torch.cuda.max_memory_reserved(),
            process=in_use() - self._others,
        )
        self.readings = (*self.readings, reading)


def in_use() -> int:
    """Bytes of the device that are not free. Wakes CUDA."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def in_use_by_all() -> int:
    """Bytes in use on the first device as nvidia-smi tells them, which wakes no context here; 0 where it cannot be asked."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] or "0"
    asked = [program, "--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--id={first}"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    return int(answer.stdout) * MIB if answer.returncode == 0 and answer.stdout.strip().isdigit() else 0
