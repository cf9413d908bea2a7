"""One character behind a number that says how far to trust it."""

from vramcast.domain.exactness import Exactness

_MARKS = {Exactness.EXACT: " ", Exactness.MODELLED: "~", Exactness.FITTED: "≈", Exactness.UNKNOWN: "?"}


def mark(exactness: Exactness) -> str:
    """The character: a space for `exact`, so that columns of numbers stay straight."""
    return _MARKS[exactness]
