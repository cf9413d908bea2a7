"""All that only CUDA can tell: which device, what a bare process takes there, the counters, a record of the allocator."""

import pickle
from pathlib import Path
from typing import Any

import torch

from ledger.rows import Card

CUDA = "cuda"
EVENTS = 1_000_000
KEPT = {
    *("segments", "device_traces", "allocator_settings", "PYTORCH_CUDA_ALLOC_CONF"),
    *("device", "address", "total_size", "stream", "segment_type", "is_expandable", "segment_pool_id", "blocks"),
    *("size", "requested_size", "state", "action", "addr", "device_free", "pool_id"),
}


class CudaCounters:
    """torch's peaks, and the memory in use on the device less what `idle` bytes others use; a snapshot if it has a place."""

    def __init__(self, idle: int, snapshot: Path | None) -> None:
        self._idle = idle
        self._snapshot = snapshot

    def begin(self) -> None:
        """Give back what loading left; from here on the allocator's actions are recorded, if they are wanted."""
        torch.cuda.empty_cache()
        if self._snapshot is not None:
            torch.cuda.memory._record_memory_history(  # noqa: SLF001 - as torch's documentation shows
                max_entries=EVENTS, context=None, stacks="python"
            )

    def reset(self) -> None:
        """Forget the peaks."""
        torch.cuda.reset_peak_memory_stats()

    def read(self) -> tuple[int, int, int]:
        """Peak of allocated and of reserved bytes, and the process's bytes now."""
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), in_use() - self._idle

    def end(self) -> None:
        """Write the snapshot."""
        if self._snapshot is not None:
            raw = torch.cuda.memory._snapshot()  # noqa: SLF001
            self._snapshot.parent.mkdir(exist_ok=True)
            self._snapshot.write_bytes(pickle.dumps(compact(raw)))


def compact(raw: Any) -> Any:
    """A snapshot of torch without the lines of code and whatever else a replay does not read."""
    if isinstance(raw, dict):
        return {key: compact(value) for key, value in raw.items() if key in KEPT}
    return [compact(value) for value in raw] if isinstance(raw, list) else raw


def in_use() -> int:
    """Bytes of the device that are not free."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def card(idle: int) -> Card | None:
    """The device, with the bytes that a process takes for its context alone; None without CUDA."""
    if not torch.cuda.is_available():
        return None
    kept = torch.zeros(1, device=CUDA)
    context = in_use() - idle - torch.cuda.memory_reserved()
    del kept
    about = torch.cuda.get_device_properties(0)
    return Card(
        name=about.name,
        memory=about.total_memory,
        context=context,
        capability=(about.major, about.minor),
        multiprocessors=about.multi_processor_count,
    )
