"""
The run for real, on CUDA or on the CPU, and the meters that read it. Needs the `trace` extra.

The package can be called: `with vramcast.measure() as m: ...` reads the memory of the block. `vramcast.measure.run` trains or
serves a model.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vramcast.domain.errors import InputError
from vramcast.domain.run import Run, ServeRun
from vramcast.measure.shortened import shortened

if TYPE_CHECKING:
    from vramcast.measure.measured import Measured
    from vramcast.measure.meters import Meter

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else torch's profiler says that it starts, and that it ends
INSTALL = "pip install 'vramcast[trace]'"


def missing(error: ModuleNotFoundError) -> InputError:
    """A package of the extra is not there: which, and how to get it."""
    package = (error.name or "torch").partition(".")[0]
    return InputError(f"a measurement needs packages that are not installed: {package}", INSTALL)


def run(source: Mapping[str, Any] | Path, asked: Run, *, layers: int | None = None, **options: Any) -> "Measured":
    """
    Train or serve for real, as `asked` says, and read the bytes phase by phase.

    Args:
        source: a parsed config.json, whose model gets random weights; or a checkpoint's folder.
        asked: a TrainRun or a ServeRun.
        layers: keep the first layers of a config only.
        options: of `vramcast.measure.real_run.train` (device, steps, text, learning, snapshot, keep, seed, progress) or of
            `serve` (device, decode_steps, text, snapshot, seed).

    Raises:
        InputError: the `trace` extra is not installed, the model cannot be read, or a folder shall be shortened.
        UnsupportedError: nobody runs that here.
    """
    if layers is not None:
        if isinstance(source, Path):
            raise InputError("a checkpoint has the layers it has", "its config.json, for random weights")
        source = shortened(source, layers)
    try:
        from vramcast.measure.quiet import quiet

        with quiet():  # bitsandbytes speaks up when it is imported
            from vramcast.measure import real_run
    except ModuleNotFoundError as error:
        raise missing(error) from error
    if isinstance(asked, ServeRun):
        return real_run.serve(source, asked, **options)
    return real_run.train(source, asked, **options)


class _Package(ModuleType):
    def __call__(self, device: str | None = None, *, snapshot: Path | None = None) -> "Meter":
        """
        Meter a block of code; see `vramcast.measure.meters.measure`.

        Raises:
            InputError: the `trace` extra is not installed, or there is no such device.
        """
        try:
            from vramcast.measure.meters import measure
        except ModuleNotFoundError as error:
            raise missing(error) from error
        return measure(device, snapshot=snapshot)


sys.modules[__name__].__class__ = _Package
