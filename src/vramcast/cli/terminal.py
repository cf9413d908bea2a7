"""What the terminal can show."""

import os
import shutil

_NARROWEST = 40


def terminal_width() -> int:
    """Columns of the terminal, or `COLUMNS`, or 80; never below 40, where no table is of use."""
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def wants_color() -> bool:
    """False where NO_COLOR is set to anything (no-color.org); click itself strips colours from what is no terminal."""
    return not os.environ.get("NO_COLOR")
