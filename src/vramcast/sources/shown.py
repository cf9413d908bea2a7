"""Foreign values in our messages."""

from reprlib import Repr

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring = 2, 40


def shown(value: object) -> str:
    """A JSON value as it may stand in a message: short, however long or deep it is."""
    return _SHORT.repr(value)[:40]
