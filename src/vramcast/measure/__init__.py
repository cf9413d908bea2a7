"""
The run for real, on CUDA or on the CPU, and the meters that read it. Needs the `trace` extra.

The package can be called: `with vramcast.measure() as m: ...` reads the memory of the block.
"""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from vramcast.domain.errors import InputError

if TYPE_CHECKING:
    from vramcast.measure.meters import Meter

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else torch's profiler says that it starts, and that it ends
INSTALL = "pip install 'vramcast[trace]'"


def missing(error: ModuleNotFoundError) -> InputError:
    """A package of the extra is not there: which, and how to get it."""
    package = (error.name or "torch").partition(".")[0]
    return InputError(f"a measurement needs packages that are not installed: {package}", INSTALL)


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
