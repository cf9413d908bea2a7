"""Formulas with their letters replaced by numbers."""

import re
from collections.abc import Iterable
from functools import lru_cache

_EXACT = 2**53


def in_numbers(formula: str, values: Iterable[tuple[str, float]]) -> str:
    """
    The formula with each letter that has a value replaced by it; longer names go first, parts of names stay.

    >>> in_numbers("2·s·Φ_t", (("s", 2), ("Φ_t", 41943040)))
    '2·2·41,943,040'
    """
    table = {name: number(value) for name, value in values}
    if not table:
        return formula
    return _pattern(tuple(sorted(table, key=len, reverse=True))).sub(lambda match: table[match[0]], formula)


def number(value: float) -> str:
    """A value as it stands in a formula: whole numbers in full with commas, others with six digits behind the point."""
    if value == int(value) and abs(value) < _EXACT:
        return f"{int(value):,}"
    return f"{value:,.6f}".rstrip("0")


@lru_cache(maxsize=512)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<!\w){re.escape(name)}(?![^\W²])" for name in names))
