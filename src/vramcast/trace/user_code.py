"""Any PyTorch code, recorded: `with vramcast.trace(gpu="h100-80gb") as t: ...`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from vramcast.catalog.gpus import find_device
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Phase
from vramcast.trace import cuda_stand_in, files, imports, parameter_classes, torch_patches
from vramcast.trace import recurrent as _shapes_of_recurrent_cells  # noqa: F401
from vramcast.trace.assumed import Assumed
from vramcast.trace.attention import attention_of
from vramcast.trace.cuda_names import CudaNames, rename
from vramcast.trace.cuda_stand_in import StandInCuda
from vramcast.trace.kernels import Target, hidden
from vramcast.trace.patches import Patches
from vramcast.trace.program import Program
from vramcast.trace.quiet import quiet
from vramcast.trace.readings import Readings
from vramcast.trace.session import tracing
from vramcast.trace.values import Values
from vramcast.trace.watcher import StepsDone, Watcher

WORKSPACE_KEPT_UNTIL = (2, 14)  # torch
_running: list[Program] = []


@contextmanager
def trace(gpu: str | Device | None = None, steps: int | None = None) -> Iterator[Program]:
    """
    Record what the code of the block allocates on a CUDA device that is not there.

    Tensors have shapes and no values. `cuda` stands for the device; everything that is patched for that is put back at the end
    of the block, also after an exception.

    Args:
        gpu: the device's name or the device; None: one without a limit.
        steps: leave the block after so many optimizer steps; None: run it to its end.

    Raises:
        InputError: no such device; a block within another one.
        UnsupportedError: an operator that does not run on shapes alone, and the module in which it stands.
    """
    if _running:
        raise InputError("a traced block stands within another one", "trace one at a time")
    program = Program(find_device(gpu) if isinstance(gpu, str) else gpu)
    _running.append(program)
    try:
        with _recorded(program, steps):
            yield program
    except StepsDone:
        pass
    finally:
        _running.clear()


@contextmanager
def _recorded(program: Program, steps: int | None) -> Iterator[None]:
    notes = program.notes
    patches = Patches(notes)
    target = _target(program.device)
    taken = partial(hidden, target=target)
    watcher = Watcher(steps)
    with (
        quiet(),
        watcher.watching(),
        tracing(hidden=taken) as recorder,
        attention_of(target.capability),
        Assumed(notes),
    ):
        recorder.get_ready()
        watcher.recorder = recorder
        values = next(mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, Values))
        names = CudaNames(notes, Readings(notes, values), watcher)
        recorder.enter_phase(Phase.LOAD, "load")
        try:
            imports.put_in_place(patches)
            imports.forget_answers()
            files.put_in_place(patches, names)
            rename(patches)
            cuda_stand_in.put_in_place(patches, StandInCuda(recorder, program.device))
            torch_patches.put_in_place(patches, notes, names, watcher)
            parameter_classes.put_in_place(patches)
            with names:
                yield
        finally:
            patches.undo()
            imports.forget_answers()
            program.finish(recorder.timeline(), watcher.steps)


def _target(device: Device | None) -> Target:
    """The device, under the torch that is installed."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return Target(
        capability=device.capability if device else None,
        multiprocessors=device.multiprocessors if device else None,
        torch=(major, minor),
        kept_workspace=(major, minor) <= WORKSPACE_KEPT_UNTIL,
    )
