"""Live storages of a real step on the CPU: what exists at the worst moment, read by a dispatch mode."""

import contextlib
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of storages from their birth in an operator to their last reference."""

    def __init__(self, resident: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._live: dict[int, int] = {}
        self._now = 0
        self.peak = 0
        for tensor in resident:
            self._see(tensor)
        self._resident = self._now

    def __torch_dispatch__(
        self, operator: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and look at what it returns."""
        result = operator(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._see(value)
        return result

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live or not size:
            return
        self._live[key] = size
        self._now += size
        weakref.finalize(storage, self._gone, key)
        self.peak = max(self.peak, self._now)

    def _gone(self, key: int) -> None:
        self._now -= self._live.pop(key)

    @property
    def beyond_resident(self) -> int:
        """The peak without parameters and buffers."""
        return self.peak - self._resident


def step_peak(model: torch.nn.Module, micro_batch: int, seq_len: int, *, autocast: bool) -> int:
    """Bytes beyond parameters at the worst moment of forward and backward, loss included, inputs not."""
    meter = LiveStorages([*model.parameters(), *model.buffers()])
    ids = torch.zeros(micro_batch, seq_len, dtype=torch.long)
    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
    with meter:
        with context:
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
    return meter.beyond_resident
