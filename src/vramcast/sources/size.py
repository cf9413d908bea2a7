"""A bare size such as `8B`: all that is needed for the terms that are multiples of Φ."""

import re

from vramcast.domain.errors import InputError
from vramcast.domain.model import MOST_PARAMETERS, ModelSpec, bare_model

_FEWEST = 10**3

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_SIZE = re.compile(
    r"(\d{1,3}(?:,\d{3}){1,6}|\d{1,20}(?:\.\d{1,9})?(?:e\+?\d{1,2})?)([kmbt]?)", re.ASCII | re.IGNORECASE
)


def read_size(text: str) -> ModelSpec | None:
    """
    The bare model of `8B`, `350M`, `1.5T`, `8e9` or `8,030,261,248` parameters; None if `text` is no such number.

    The letters are powers of 1,000, as model names use them.

    Raises:
        InputError: a number, but not one that a language model could have.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    parameters = round(float(match[1].replace(",", "")) * _UNITS[match[2].lower()])
    if not _FEWEST <= parameters <= MOST_PARAMETERS:
        raise InputError(f"{text}: no size of a language model", "write 8B, 350M or 1.5T")
    return bare_model(text, parameters)
