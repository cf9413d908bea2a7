"""Widths, cutting and wrapping of text with wide letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramcast.render.width import cut, flow, ljust, rjust, width_of, wrap

TEXTS = st.text(alphabet="ab ·Φ权重，（）", max_size=80)


def test_a_chinese_letter_takes_two_columns() -> None:
    """Latin, Greek and block letters take one, Chinese ones and their punctuation two."""
    assert width_of("abΦ█·") == 5
    assert width_of("权重，") == 6
    assert ljust("权", 4) == "权  "
    assert rjust("权", 4) == "  权"


@given(TEXTS, st.integers(4, 30))
def test_wrapped_text_keeps_to_the_width_and_loses_nothing(text: str, width: int) -> None:
    """No line is wider; the letters are all there in order."""
    lines = wrap(text, width, first="- ", rest="  ")
    assert all(width_of(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "").removeprefix("-") == text.replace(" ", "")


@given(TEXTS, st.integers(2, 30))
def test_cut_text_keeps_to_the_width(text: str, width: int) -> None:
    """What fits stays; what does not ends in an ellipsis."""
    short = cut(text, width)
    assert width_of(short) <= width
    assert (short == text) == (width_of(text) <= width)


def test_words_are_kept_whole_and_chinese_punctuation_never_leads_a_line() -> None:
    """Breaks stand at spaces or between Chinese letters."""
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("权重很大，激活", 8) == ["权重很", "大，激活"]
    assert wrap("", 8, first="- ") == ["- "]


@pytest.mark.parametrize("width", [10, 20, 40])
def test_items_flow_unbroken(width: int) -> None:
    """Rows keep to the width; items stay whole and in order."""
    items = ["--a 1", "--bb 22", "--ccc 3", "--d"]
    rows = flow(items, width, gap="  ", indent="  ")
    assert [item for row in rows for item in row] == items
    assert all(len("  " + "  ".join(row)) <= width for row in rows)
