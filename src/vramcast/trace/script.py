"""A user's script, run as `python script.py` would run it, on a device that stores nothing."""

import gc
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from vramcast.domain.device import Device
from vramcast.domain.errors import InputError, VramcastError
from vramcast.trace.notes import is_program
from vramcast.trace.program import Program
from vramcast.trace.user_code import trace

_MAIN = "__main__"


def run_script(script: Path, arguments: Sequence[str], device: Device | None, steps: int | None) -> Program:
    """
    Run the user's script and record it; what it prints goes to stderr.

    Raises:
        InputError: the script raised an error, or ended with an exit code; the error's notes are the script's own frames.
        UnsupportedError: it met something that cannot be followed.
    """
    with trace(device, steps) as program, _as_main(script, arguments):
        try:
            runpy.run_path(str(script), run_name=_MAIN)
        except SystemExit as end:
            if end.code not in (None, 0):
                raise InputError(f"{script.name} ended with exit code {end.code}", _alone(script, arguments)) from end
        except Exception as error:
            raise _told(error, script, arguments) from error
    return program


@contextmanager
def _as_main(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    """The arguments, the folder to import from and the collection of garbage that a script starts with."""
    argv, path, collects = sys.argv, sys.path, gc.isenabled()
    sys.argv, sys.path = [str(script), *arguments], [str(script.resolve().parent), *sys.path]
    gc.enable()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.argv, sys.path = argv, path
        if not collects:
            gc.disable()


def _told(error: Exception, script: Path, arguments: Sequence[str]) -> VramcastError:
    """The error in one line, with the frames that are the user's own."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_program(frame.filename)]
    where = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else script.name
    if isinstance(error, VramcastError):
        told: VramcastError = type(error)(f"{where}: {error.what}", error.hint)
    else:
        first = str(error).strip().partition("\n")[0]
        noted = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        told = InputError(f"{where}: {type(error).__name__}: {first}{noted}", _alone(script, arguments))
    told.add_note("".join(traceback.format_list(frames)).rstrip())
    return told


def _alone(script: Path, arguments: Sequence[str]) -> str:
    return f"does it run without vramcast? python {' '.join((str(script), *arguments))}"
