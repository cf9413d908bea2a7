"""Bare sizes."""

import pytest

from vramcast.domain.errors import InputError
from vramcast.sources.size import read_size


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("8B", 8 * 10**9),
        ("8b", 8 * 10**9),
        ("350M", 350 * 10**6),
        ("1.5T", 15 * 10**11),
        ("125k", 125_000),
        ("8e9", 8 * 10**9),
        ("8E+9", 8 * 10**9),
        ("1.3e9", 13 * 10**8),
        ("8,030,261,248", 8_030_261_248),
        ("8030261248", 8_030_261_248),
        ("0.5B", 500_000_000),
        ("1000T", 10**15),
    ],
)
def test_size_is_read(text: str, parameters: int) -> None:
    """Letters are powers of 1,000; thousands separators and exponents are understood."""
    model = read_size(text)
    assert model is not None
    assert (model.name, model.parameters, model.layers) == (text, parameters, ())


@pytest.mark.parametrize("text", ["", "B", "8BB", "8 B", "8GB", "8Bit", "-8B", "8,03B", "8e", "gpt2", "٨B", "1" * 21])
def test_other_text_is_no_size(text: str) -> None:
    """What is not exactly a size is left to the other ways to name a model."""
    assert read_size(text) is None


@pytest.mark.parametrize("text", ["0B", "8", "999", "1001T", "9e99", "0.000000001k"])
def test_impossible_size_is_an_input_error(text: str) -> None:
    """A number that no language model has is not answered."""
    with pytest.raises(InputError, match="no size of a language model"):
        read_size(text)
