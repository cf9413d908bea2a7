"""The RAM of this process: now, and the most since the mark was last set."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
MARK = Path("/proc/self/clear_refs")
SET_HIGH_WATER = "5"
KIB = 1024


def set_mark() -> None:
    """Forget the peak. Where the kernel does not let it be forgotten, `peak` is that of the whole process."""
    with suppress(OSError):
        MARK.write_text(SET_HIGH_WATER)


def peak() -> int:
    """
    Most bytes of RAM since the mark.

    Source: Linux, Documentation/filesystems/proc.rst (VmHWM, clear_refs); elsewhere getrusage(2), which never forgets.
    """
    with suppress(OSError, StopIteration):
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * KIB
