"""What the terminal can show, and text sent to it."""

import os
import shutil
import sys

_NARROWEST = 40
_NEEDED_LETTERS = "█▌▒░│–·Φ≈"


def terminal_width() -> int:
    """Columns of the terminal, or `COLUMNS`, or 80; never below 40, where no table is of use."""
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def wants_color() -> bool:
    """False where NO_COLOR is set to anything (no-color.org), and on a dumb terminal unless FORCE_COLOR is set."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or os.environ.get("TERM") != "dumb"


def color_policy() -> bool | None:
    """True: colours even into a pipe (FORCE_COLOR); False: never; None: click strips them from what is no terminal."""
    if not wants_color():
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def needs_ascii() -> bool:
    """Whether the encoding of stdout has no block letters."""
    try:
        _NEEDED_LETTERS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
