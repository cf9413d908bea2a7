"""Parts of torch beside `torch.cuda` that would leave the program's shapes: autocast, compilation, loaders, processes."""

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.amp import autocast_mode, grad_scaler
from torch.optim import optimizer
from torch.utils import _device, _foreach_utils, checkpoint
from torch.utils.data import DataLoader

from vramcast.domain.errors import UnsupportedError
from vramcast.trace import standin
from vramcast.trace.cuda_names import STANDIN, CudaNames
from vramcast.trace.notes import Notes
from vramcast.trace.patches import Patches
from vramcast.trace.watcher import Watcher

_ADDRESS = torch.UntypedStorage.data_ptr
_COMPILED = "torch.compile left code in eager mode: fused kernels would keep less"
_AUTOCAST = (
    "is_autocast_enabled",
    "set_autocast_enabled",
    "get_autocast_dtype",
    "set_autocast_dtype",
)
_SEVERAL = {
    (torch.distributed, "init_process_group"): "several processes (torch.distributed)",
    (torch.multiprocessing, "spawn"): "several processes (torch.multiprocessing.spawn)",
    (torch.cuda, "graph"): "CUDA graphs",
    (torch.cuda, "make_graphed_callables"): "CUDA graphs",
}
_IN_PROCESS = ("prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context", "pin_memory")


def put_in_place(patches: Patches, notes: Notes, names: CudaNames, watcher: Watcher) -> None:
    """Everything of torch that the program must not meet as it is."""
    _autocast(patches)
    _gradients(patches, names, watcher)
    patches.put(torch, "set_default_device", partial(_set_default_device, patches))
    patches.put(torch, "get_default_device", lambda: _device.CURRENT_DEVICE or torch.device("cpu"))
    says = "nn.MultiheadAttention: its fast path for inference is off"
    patches.answer(torch.backends.mha, "get_fastpath_enabled", lambda: False, says)
    patches.put(nn.parallel.comm, "scatter", lambda tensor, *_, **__: (tensor.to(STANDIN),))
    patches.put(torch, "Generator", _generator_class(names))
    patches.answer(torch, "compile", partial(_left_eager, notes), "torch.compile")
    patches.put(nn.Module, "compile", lambda _, *__, **___: notes.not_followed(_COMPILED))
    patches.put(DataLoader, "__init__", _loader(DataLoader.__init__, notes))
    for (owner, name), what in _SEVERAL.items():
        patches.put(owner, name, partial(_refuse, what))
    patches.put(torch.cuda, "_initialized", True)
    patches.put(torch.UntypedStorage, "data_ptr", _address)
    patches.put(logging.getLogger("torch._subclasses.fake_tensor"), "disabled", True)


def _autocast(patches: Patches) -> None:
    """Autocast of `cuda` is that of the stand-in."""
    begin = torch.autocast.__init__

    def init(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(self, standin.NAME if device_type == "cuda" else device_type, *args, **kwargs)

    patches.put(torch.autocast, "__init__", init)
    for name in _AUTOCAST:
        patches.put(torch, name, partial(_of_device, getattr(torch, name)))
    for owner in (torch.amp, autocast_mode):
        patches.put(owner, "is_autocast_available", partial(_of_device, autocast_mode.is_autocast_available))
    patches.put(torch, "get_autocast_gpu_dtype", lambda: torch.get_autocast_dtype(standin.NAME))
    patches.put(torch, "set_autocast_gpu_dtype", lambda dtype: torch.set_autocast_dtype(standin.NAME, dtype))


def _of_device(function: Callable[..., Any], device_type: Any = "cuda", *args: Any) -> Any:
    if not isinstance(device_type, str):  # the old form leaves `cuda` out
        return function(standin.NAME, device_type, *args)
    return function(standin.NAME if device_type == "cuda" else device_type, *args)


def _gradients(patches: Patches, names: CudaNames, watcher: Watcher) -> None:
    """
    Backward passes are seen, and hooks and recomputation within them are the program's.

    Optimizers take shapes for tensors; a scaled gradient is finite; what a checkpoint compares was first seen within torch.
    """
    run = torch.autograd.graph._engine_run_backward
    compare = checkpoint._CheckpointFrame.check_recomputed_tensors_match

    def watched(*args: Any, **kwargs: Any) -> Any:
        with watcher.backward(), torch._C._EnableTorchFunction(), names:
            return run(*args, **kwargs)

    def compared(*args: Any) -> None:
        with torch._C.DisableTorchFunction():
            compare(*args)

    def step(_: Any, optimizer: Any, __: Any, *args: Any, **kwargs: Any) -> Any:
        return optimizer.step(*args, **kwargs)

    for owner in (torch.autograd, torch.autograd.graph):
        patches.put(owner, "_engine_run_backward", watched)
    patches.put(checkpoint._CheckpointFrame, "check_recomputed_tensors_match", compared)
    patches.answer(grad_scaler.GradScaler, "_maybe_opt_step", step, "GradScaler: gradients are taken to be finite")
    for module in (optimizer, _foreach_utils):
        patches.put(module, "_foreach_supported_types", [*module._foreach_supported_types, FakeTensor])


def _address(storage: torch.UntypedStorage) -> int:
    """No two storages have the same; of those that hold no bytes it is no address of data."""
    return storage._cdata if storage.device.type == "meta" else _ADDRESS(storage)


def _set_default_device(patches: Patches, device: Any) -> None:
    patches.put(_device, "CURRENT_DEVICE", torch.device(device or "cpu"))


def _left_eager(notes: Notes, model: Any = None, **_: Any) -> Any:
    notes.not_followed(_COMPILED)
    return model if model is not None else lambda function: function


def _generator_class(names: CudaNames) -> type:
    real: Any = torch.Generator
    kind: Any = type(real)

    class Kind(kind):  # type: ignore[misc]
        def __instancecheck__(self, instance: object) -> bool:
            return isinstance(instance, real)

    class Generator(real, metaclass=Kind):  # type: ignore[misc]
        """A generator of the CPU, whatever device is named: nothing is random here."""

        def __new__(cls, device: Any = "cpu") -> Any:
            return real.__new__(real, "cpu" if names.place(device) == STANDIN else device)

    return Generator


def _loader(init: Callable[..., None], notes: Notes) -> Callable[..., None]:
    signature = inspect.signature(init)

    def in_process(*args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        if given.arguments.get("num_workers"):
            notes.patched("DataLoader: num_workers is 0")
            given.arguments["num_workers"] = 0
        for name in _IN_PROCESS:
            given.arguments.pop(name, None)
        init(*given.args, **given.kwargs)

    return in_process


def _refuse(what: str, *_: Any, **__: Any) -> NoReturn:
    raise UnsupportedError(f"{what} cannot be followed", "run the part that one GPU does in one process")
