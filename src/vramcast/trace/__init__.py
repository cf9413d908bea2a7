"""
The real training and inference code, run on a device that stores nothing. Needs the `trace` extra.

The package can be called: `with vramcast.trace(gpu="h100-80gb") as t: ...` records the code of the block. Its name is taken
by a package, so the package itself is the function, whatever was imported before.
"""

import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING

from vramcast.domain.device import Device
from vramcast.domain.errors import InputError

if TYPE_CHECKING:
    from vramcast.trace.program import Program

INSTALL = "pip install 'vramcast[trace]'"


def missing(error: ModuleNotFoundError) -> InputError:
    """A package of the extra is not there: which, and how to get it."""
    package = (error.name or "torch").partition(".")[0]
    return InputError(f"the trace needs packages that are not installed: {package}", INSTALL)


class _Package(ModuleType):
    def __call__(self, gpu: str | Device | None = None, steps: int | None = None) -> AbstractContextManager["Program"]:
        """
        Record a block of code; see `vramcast.trace.user_code.trace`.

        Raises:
            InputError: the `trace` extra is not installed.
        """
        try:
            from vramcast.trace.user_code import trace
        except ModuleNotFoundError as error:
            raise missing(error) from error
        return trace(gpu, steps)


sys.modules[__name__].__class__ = _Package
