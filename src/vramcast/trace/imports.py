"""Libraries that a program imports on its way: they set themselves up with real tensors, as on a machine without a GPU."""

import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

import torch
from torch.utils._python_dispatch import _disable_current_modes

from vramcast.trace.notes import is_program
from vramcast.trace.patches import Patches

_REMEMBER = ("transformers.utils.import_utils", "accelerate.utils.imports")  # modules that ask for CUDA once


def put_in_place(patches: Patches) -> None:
    """From here on, libraries are imported as if nothing were traced; the program's own modules are traced."""
    with _disable_current_modes():  # it imports modules of its own the first time
        execute = SourceFileLoader.exec_module

    def set_up(loader: SourceFileLoader, module: ModuleType) -> None:
        if is_program(loader.path):
            execute(loader, module)
            return
        with patches.paused(), _disable_current_modes(), torch._C.DisableTorchFunction():
            execute(loader, module)

    patches.put(SourceFileLoader, "exec_module", set_up)


def forget_answers() -> None:
    """Libraries ask again whether there is CUDA."""
    for name in _REMEMBER:
        for function in vars(sys.modules.get(name, sys)).copy().values():
            if "torch" in getattr(function, "__name__", "") or "cuda" in getattr(function, "__name__", ""):
                getattr(function, "cache_clear", _nothing)()


def _nothing() -> None:
    """Nothing is remembered."""
