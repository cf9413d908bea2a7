"""Files of weights: read as shapes, whatever their size, and never written."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import safetensors.torch
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from vramcast.trace.cuda_names import STANDIN, CudaNames
from vramcast.trace.patches import Patches

_OPEN = safetensors.safe_open
_DTYPES = safetensors.torch._TYPES
_NOT_WRITTEN = "nothing is written"


class Shapes:
    """An open safetensors file whose tensors have shapes and formats; its data is not read."""

    def __init__(self, filename: Any, framework: str = "pt", device: Any = "cpu", **_: Any) -> None:
        self._file = _OPEN(filename, framework=framework, device="cpu")
        self._device = device if device is not None else "cpu"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def get_slice(self, name: str) -> "Slice":
        """A tensor that is made when it is indexed."""
        return Slice(self._file.get_slice(name), self._device)

    def get_tensor(self, name: str) -> Tensor:
        """A tensor of the file, without values."""
        return self.get_slice(name)[...]

    def get_tensors(self, names: Any) -> dict[str, Tensor]:
        """Several of them."""
        return {name: self.get_tensor(name) for name in names}


class Slice:
    """One tensor of a file."""

    def __init__(self, inner: Any, device: Any) -> None:
        self._inner = inner
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __getitem__(self, index: Any) -> Tensor:
        whole = torch.empty(self._inner.get_shape(), dtype=_DTYPES[self._inner.get_dtype()], device=self._device)
        part: Tensor = whole if index is Ellipsis else whole[index]
        return part


def put_in_place(patches: Patches, names: CudaNames) -> None:
    """Everything that reads or writes weights; pools of threads work at once, in the thread that is traced."""
    load = torch.load

    def shapes(f: Any, map_location: Any = None, **kwargs: Any) -> Any:
        state = load(f, map_location="cpu", **kwargs)
        if names.place(map_location) != STANDIN:
            return state
        return tree_map(lambda leaf: leaf.to(STANDIN) if isinstance(leaf, Tensor) else leaf, state)

    patches.answer(torch, "load", shapes, "torch.load: shapes without values")
    patches.answer(torch, "save", _not_written, f"torch.save: {_NOT_WRITTEN}")
    for name in ("serialize", "serialize_file"):
        patches.answer(safetensors.torch, name, _not_written, f"safetensors: {_NOT_WRITTEN}")
    for name in ("_flatten", "_flatten_as_ptr"):
        if hasattr(safetensors.torch, name):
            patches.answer(safetensors.torch, name, _not_written, f"safetensors: {_NOT_WRITTEN}")
    for module in _that_open():
        patches.answer(module, "safe_open", Shapes, "safetensors: shapes without values")
    patches.put(ThreadPoolExecutor, "submit", _at_once)


def _that_open() -> Iterator[Any]:
    """Modules that have safetensors' reader under its name."""
    import sys

    for module in tuple(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("safe_open") is _OPEN:
            yield module


def _at_once(_: Any, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - it is handed to who asks for the result
        future.set_exception(error)
    return future


def _not_written(*_: Any, **__: Any) -> bytes:
    return b""
