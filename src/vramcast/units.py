"""Bytes are `int`; GiB in print. The only place that turns one into the other."""

import re

KIB = 2**10
MIB = 2**20
GIB = 2**30
TIB = 2**40

_UNITS = {
    "": 1,
    "B": 1,
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "TIB": TIB,
    "K": KIB,
    "M": MIB,
    "G": GIB,
    "T": TIB,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_bytes(text: str) -> int:
    """
    Bytes in a quantity such as `"24GiB"`, `"80 GB"` or `"512MiB"`.

    Binary units (KiB, MiB, GiB, TiB) are powers of 1,024; decimal units (KB, MB, GB, TB) are powers of 1,000.
    A single letter (`24G`) is binary, as PyTorch and docker read it.

    Raises:
        ValueError: the text is not a number with one of these units, or is not positive.
    """
    match = _QUANTITY.fullmatch(text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"not a memory size: {text[:40]!r}")
    size = round(float(match[1]) * unit)
    if size <= 0:
        raise ValueError(f"a memory size must be above zero: {text[:40]!r}")
    return size


def gib(size: int, digits: int = 2) -> str:
    """`size` bytes in GiB, without the unit: `gib(2**30) == "1.00"`."""
    return f"{size / GIB:,.{digits}f}"


def format_bytes(size: int) -> str:
    """
    `size` bytes in the largest binary unit that keeps the number at or above one, unit included.

    >>> format_bytes(8519680)
    '8.12 MiB'
    """
    magnitude = abs(size)
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if magnitude >= unit and not (name == "TiB" and magnitude < 10 * TIB):
            return f"{size / unit:,.2f} {name}"
    return f"{size} B"
