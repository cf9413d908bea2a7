"""A plain table that fits its width: the least important columns give way, nothing wraps."""

from collections.abc import Sequence
from dataclasses import dataclass

from vramcast.render.width import ljust, rjust, width_of

_GAP = "  "
_BOLD = "\x1b[1m{}\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A title (one line or two), one cell a row, and how gladly the column gives way: 0 never, 1 first."""

    title: str
    cells: tuple[str, ...]
    right: bool = False
    gives_way: int = 0

    @property
    def width(self) -> int:
        """Terminal columns of the widest cell or title line."""
        return max(map(width_of, (*self.title.split("\n"), *self.cells)))

    @property
    def one_line_title(self) -> str:
        """The title as running text."""
        return self.title.replace("-\n", "").replace("\n", " ")


def bold(text: str, *, color: bool) -> str:
    """`text`, bold where the terminal may be asked for it."""
    return _BOLD.format(text) if color else text


def fit_columns(columns: Sequence[Column], width: int) -> tuple[Column, ...]:
    """The columns that fit into `width` characters, after those that give way first have gone."""
    kept = tuple(columns)
    ranks = sorted(column.gives_way for column in columns if column.gives_way)
    for rank in ranks:
        if sum(column.width for column in kept) + len(_GAP) * (len(kept) - 1) <= width:
            break
        kept = tuple(column for column in kept if column.gives_way != rank)
    return kept


def table_lines(columns: Sequence[Column], *, color: bool) -> list[str]:
    """Title lines and rows; titles stand on the last title line, trailing spaces are cut."""
    height = max(column.title.count("\n") for column in columns) + 1
    titles = [("\n" * (height - 1 - column.title.count("\n")) + column.title).split("\n") for column in columns]
    header = [_line(columns, [title[line] for title in titles]) for line in range(height)]
    rows = [_line(columns, cells) for cells in zip(*(column.cells for column in columns), strict=True)]
    return [bold(line, color=color) for line in header] + rows


def _line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    padded = [
        rjust(cell, column.width) if column.right else ljust(cell, column.width)
        for column, cell in zip(columns, cells, strict=True)
    ]
    return _GAP.join(padded).rstrip()
