"""What is to be said about a program that ran on a stand-in: what was patched, and what could not be followed."""

import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import vramcast

if TYPE_CHECKING:
    from types import FrameType

_LIBRARY = sysconfig.get_path("stdlib")
_OURS = (str(Path(torch.__file__).parent), str(Path(vramcast.__file__).parent))


class Notes:
    """Sentences, each once, in the order in which they came up."""

    def __init__(self) -> None:
        self._patched: dict[str, None] = {}
        self._not_followed: dict[str, None] = {}

    def patched(self, what: str) -> None:
        """Something that the program used was not the real thing."""
        self._patched.setdefault(what)

    def not_followed(self, what: str) -> None:
        """Something that a real run might do otherwise."""
        self._not_followed.setdefault(what)

    def assumed(self, what: str, value: object) -> None:
        """A decision of the program hung on a number that nobody has."""
        place = _program_line()
        self.not_followed(f"{place}: {what} followed as if {value}" if place else f"{what} followed as if {value}")

    @property
    def all_patched(self) -> tuple[str, ...]:
        """Every sentence about what was patched and used."""
        return tuple(self._patched)

    @property
    def all_not_followed(self) -> tuple[str, ...]:
        """Every sentence about what could not be followed."""
        return tuple(self._not_followed)


def is_program(filename: str) -> bool:
    """Whether code of this file is the user's own: neither a library's nor made up."""
    if filename.startswith(("<", *_OURS, _LIBRARY)):
        return False
    return "site-packages" not in filename and "dist-packages" not in filename


def _program_line() -> str:
    """The innermost line that is the user's own, such as `train.py line 12`; a library's, where no frame is the user's."""
    frame: FrameType | None = sys._getframe(1)
    nearest = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if is_program(name):
            return f"{Path(name).name} line {frame.f_lineno}"
        if not nearest and not name.startswith(("<", *_OURS)):
            nearest = f"{'/'.join(Path(name).parts[-2:])} line {frame.f_lineno}"
        frame = frame.f_back
    return nearest
