"""How far a number can be trusted."""

from enum import StrEnum


class Exactness(StrEnum):
    """
    `exact`: counted, or a formula that follows from the code. `modelled`: a formula with a stated simplification.

    `fitted`: a constant taken from named measurements. `unknown`: nobody measured it.
    """

    EXACT = "exact"
    MODELLED = "modelled"
    FITTED = "fitted"
    UNKNOWN = "unknown"
