"""From a training script to what it would hold on a device."""

from collections.abc import Sequence
from pathlib import Path

from vramcast.catalog.gpus import find_device, free_form_device
from vramcast.domain.errors import InputError
from vramcast.domain.program import ProgramAccount
from vramcast.trace import missing


def trace_script(
    script: str,
    arguments: Sequence[str] = (),
    *,
    device: str | None = None,
    memory: int | None = None,
    steps: int | None = None,
) -> ProgramAccount:
    """
    Run a script that trains on CUDA on a device that stores nothing, until it has made `steps` optimizer steps.

    The script is the user's own and is run as it stands, only without a GPU. None for `steps`: to its end.

    Raises:
        InputError: no such script or device, the `trace` extra is not installed, or the script raised an error.
        UnsupportedError: the script does something that the trace cannot follow.
    """
    path = Path(script)
    if not path.is_file():
        raise InputError(f"there is no script {script[:60]!r}", "give the path of a Python file")
    if device is not None and memory is not None:
        raise InputError("--gpu and --memory are two answers to one question", "give one of them")
    if steps is not None and steps < 1:
        raise InputError("--steps must be at least 1", "the second step is as all others: 2 or 3 say enough")
    card = find_device(device) if device is not None else None
    if memory is not None:
        card = free_form_device(memory)
    try:
        from vramcast.trace.script import run_script
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return run_script(path, arguments, card, steps).account
