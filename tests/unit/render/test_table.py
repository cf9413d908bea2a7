"""Tables that fit their width."""

import pytest

from vramcast.render.table import Column, bold, fit_columns, table_lines

COLUMNS = (
    Column(title="name", cells=("a", "bbbb")),
    Column(title="two\nlines", cells=("1", "22"), right=True, gives_way=2),
    Column(title="first-\nout", cells=("xxxxxxxx", "y"), gives_way=1),
)


@pytest.mark.parametrize(("width", "left"), [(21, 3), (20, 2), (11, 2), (10, 1), (1, 1)])
def test_columns_give_way_in_order(width: int, left: int) -> None:
    """4 + 5 + 8 characters and two gaps need 21; the column that gives way first goes first, the name never."""
    kept = fit_columns(COLUMNS, width)
    assert kept == COLUMNS[:left]
    if left > 1:
        assert max(map(len, table_lines(kept, color=False))) <= width


def test_lines_are_aligned_and_titles_stand_at_the_bottom() -> None:
    """One title line a column where it has one, numbers to the right, no trailing spaces."""
    assert table_lines(COLUMNS, color=False) == [
        "        two  first-",
        "name  lines  out",
        "a         1  xxxxxxxx",
        "bbbb     22  y",
    ]


def test_titles_are_bold_only_in_colour() -> None:
    """Escape codes appear when asked for and never otherwise."""
    assert "\x1b" not in "".join(table_lines(COLUMNS, color=False))
    assert table_lines(COLUMNS, color=True)[1] == bold("name  lines  out", color=True)
    assert bold("text", color=False) == "text"


def test_a_title_reads_on_one_line() -> None:
    """A hyphen at the end of a line is a break inside a word."""
    assert [column.one_line_title for column in COLUMNS] == ["name", "two lines", "firstout"]
