"""Numbers in few characters."""

from math import inf

import pytest

from vramcast.render.numbers import power_of_two, short_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (inf, "inf"),
        (-inf, "-inf"),
        (65504.0, "65504"),
        (-128.0, "-128"),
        (7.5, "7.5"),
        (0.125, "0.125"),
        (0.015625, "0.0156"),
        (2.0**-24, "6.0e-8"),
        (2.0**-1074, "4.9e-324"),
        (1.7976931348623157e308, "1.8e308"),
        (3.0e6, "3.0e6"),
    ],
)
def test_short_numbers(value: float | None, text: str) -> None:
    """Whole numbers in full, small and large ones with a bare exponent, nothing for nothing."""
    assert short_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0**-14, "2^-14 = 6.103515625e-05"),
        (0.25, "2^-2 = 0.25"),
        (0.5, "0.5"),
        (1.0, "1"),
        (448.0, "448"),
        (-128.0, "-128"),
        (2.0**127, "2^127 = 1.7014118346046923e+38"),
    ],
)
def test_powers_of_two_are_named(value: float, text: str) -> None:
    """A power of two is led by its exponent, all other numbers stand alone, in full."""
    assert power_of_two(value) == text
