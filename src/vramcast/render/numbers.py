"""Numbers of any size in few characters."""

from math import frexp, isinf, ldexp

from vramcast.units import GIB

_WHOLE = 10**6
_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def short_number(value: float | None, digits: int = 2) -> str:
    """
    `value` in `digits` significant digits, one more without an exponent; whole numbers below a million stand in full.

    None is a dash.

    >>> short_number(65504.0), short_number(2**-14), short_number(0.0078125)
    ('65504', '6.1e-5', '0.00781')
    """
    if value is None:
        return "–"
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < _WHOLE:
        return str(int(value))
    if 10**-3 <= abs(value) < _WHOLE:
        return f"{value:.{digits + 1}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def power_of_two(value: float) -> str:
    """
    `value` in full, led by the power of two that it is, if it is one other than 1/2, 1 and 2.

    >>> power_of_two(2**-14), power_of_two(448.0)
    ('2^-14 = 6.103515625e-05', '448')
    """
    full = repr(value).removesuffix(".0")
    exponent = frexp(value)[1] - 1
    return f"2^{exponent} = {full}" if value == ldexp(1, exponent) and abs(exponent) > 1 else full


def gib_cell(size: int) -> str:
    """`size` bytes in GiB for a column of a table; what would round to nothing is `<0.01`."""
    return "<0.01" if 0 < size < GIB / 200 else f"{size / GIB:,.2f}"


def percent(part: int, whole: int) -> str:
    """The share of `part` in `whole`; what would round to nothing is `<1%`."""
    share = 100 * part / whole if whole else 0.0
    return "<1%" if 0 < share < 0.5 else f"{share:.0f}%"


def short_count(count: int) -> str:
    """
    A number of parameters in three digits.

    >>> short_count(8030261248), short_count(124439808)
    ('8.03B', '124M')
    """
    scale, unit = next(((scale, unit) for scale, unit in _SCALES if count >= 0.9995 * scale), (1, ""))
    value = count / scale
    return f"{value:.{max(0, 3 - len(str(int(value + 0.0005))))}f}{unit}" if unit else str(count)
