"""A program says `cuda` and gets the stand-in; it asks a tensor of the stand-in where it is, and hears `cuda`."""

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import _device

from vramcast.trace import standin
from vramcast.trace.cuda_stand_in import CUDA
from vramcast.trace.notes import Notes
from vramcast.trace.patches import Patches
from vramcast.trace.readings import Readings
from vramcast.trace.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

STANDIN = torch.device(standin.NAME, 0)
_NAME = re.compile(r"cuda(?::(\d+))?")
_MOVES = (Tensor.to, Tensor.cuda, Tensor.half, Tensor.bfloat16, Tensor.float, Tensor.clone, Tensor.__deepcopy__)
_RECURRENT = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})
_TO = Tensor.to


class CudaNames(TorchFunctionMode):
    """
    Sees every function of torch that the program calls, before it runs.

    While one runs, no function mode does: devices have their true names there.
    """

    def __init__(self, notes: Notes, readings: Readings, watcher: Watcher) -> None:
        super().__init__()
        self._notes = notes
        self._watcher = watcher
        self._instead: dict[Any, Callable[..., Any]] = {
            Tensor.cuda: self._cuda,
            torch.device: _device_named,
            Tensor.pin_memory: _itself,
            Tensor.is_pinned: _no,
            Tensor.get_device: _index,
            Tensor.data_ptr: _address,
            Tensor.data.__set__: _set_data,  # type: ignore[attr-defined]
            Tensor.__deepcopy__: _deepcopy,
            functional.cross_entropy: self._cross_entropy,
            **readings.instead,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is not torch.device:
            args = tuple(self.place(arg) for arg in args)
            kwargs = {name: self.place(value) for name, value in kwargs.items()}
        if func in _device._device_constructors():
            self._choose(kwargs)
        elif func is _TO and len(args) > 1 and type(args[1]) is int:
            args = (args[0], STANDIN, *args[2:])
        with torch._C.DisableTorchFunction():
            instead = self._instead.get(func)
            result = instead(*args, **kwargs) if instead else func(*args, **kwargs)
            if func in _MOVES and isinstance(args[0], nn.Parameter):
                self._watcher.moved(result)
            elif func is functional.linear:
                self._watcher.projected(result)
            elif func in _RECURRENT:
                self._notes.not_followed("recurrent layers ran as plain operators: cuDNN's own buffers are not counted")
        return result

    def place(self, value: Any) -> Any:
        """The stand-in where `value` says CUDA; else `value`."""
        if type(value) is str:
            found = _NAME.fullmatch(value)
            if found is None:
                return value
            index = int(found[1] or 0)
        elif isinstance(value, torch.device) and value.type == "cuda":
            index = value.index or 0
        else:
            return value
        if index:
            self._notes.not_followed(f"cuda:{index} was taken as the one device there is")
        return STANDIN

    def _choose(self, kwargs: dict[str, Any]) -> None:
        """A tensor that is made without a device gets the program's default; no generator counts on shapes."""
        if kwargs.get("device") is None:
            kwargs["device"] = self.place(_device.CURRENT_DEVICE or "cpu")
        kwargs.pop("pin_memory", None)
        if kwargs["device"] == STANDIN:
            kwargs.pop("generator", None)

    def _cuda(self, tensor: Tensor, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Tensor:
        if isinstance(device, int) and device:
            self.place(f"cuda:{device}")
        return tensor.to(STANDIN, non_blocking=non_blocking, **kwargs)

    def _cross_entropy(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: A002 - named as in torch
        with self._watcher.loss(input):
            return functional.cross_entropy(input, *args, **kwargs)


def rename(patches: Patches) -> None:
    """Outside of torch's functions, tensors of the stand-in say that they are on CUDA; parameters keep their identity."""
    true_device = FakeTensor.device.fget  # type: ignore[attr-defined]

    def device(tensor: FakeTensor) -> torch.device:
        found: torch.device = true_device(tensor)
        renamed = found.type == standin.NAME and torch._C._is_torch_function_mode_enabled()
        return CUDA if renamed else found

    def is_cuda(tensor: FakeTensor) -> bool:
        return bool(device(tensor).type == "cuda")

    patches.put(FakeTensor, "device", property(device))
    patches.put(FakeTensor, "is_cuda", property(is_cuda))
    patches.put(FakeTensor, "record_stream", _itself)
    patches.put(torch.utils, "swap_tensors", swap)


def swap(one: Tensor, other: Tensor) -> None:
    """As `torch.utils.swap_tensors`, which refuses tensors that the fake mode remembers."""
    one.__dict__, other.__dict__ = other.__dict__, one.__dict__
    one.__class__, other.__class__ = other.__class__, one.__class__
    torch._C._swap_tensor_impl(one, other)


def _address(tensor: Tensor) -> int:
    """Within its storage, of which no two have the same."""
    return tensor.untyped_storage().data_ptr() + int(tensor.storage_offset()) * tensor.element_size()


def _set_data(tensor: Tensor, data: Tensor) -> None:
    """`tensor.data = data`, also where that moves a parameter to the device."""
    try:
        Tensor.data.__set__(tensor, data)  # type: ignore[attr-defined]
    except RuntimeError:
        kind, attributes = tensor.__class__, dict(tensor.__dict__)
        swap(tensor, data.detach().requires_grad_(tensor.requires_grad))
        tensor.__class__ = kind
        tensor.__dict__.update((name, value) for name, value in attributes.items() if name not in tensor.__dict__)


def _deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy with its gradient, as torch makes one where a tensor has values."""
    known: Tensor | None = memo.get(id(tensor))
    if known is not None:
        return known
    copied = tensor.detach().clone()
    copy = nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
    copy.requires_grad_(tensor.requires_grad)
    if tensor.grad is not None:
        copy.grad = tensor.grad.detach().clone()
    memo[id(tensor)] = copy
    return copy


def _device_named(*args: Any, **kwargs: Any) -> torch.device:
    """`torch.device(0)` too is the first CUDA device."""
    found = torch.device(*args, **kwargs)
    return torch.device("cuda", found.index) if found.type == standin.NAME else found


def _itself(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor


def _no(*_: Any, **__: Any) -> bool:
    return False


def _index(tensor: Tensor) -> int:
    return -1 if tensor.device.type == "cpu" else 0
