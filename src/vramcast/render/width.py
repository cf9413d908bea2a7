"""Text measured as a terminal shows it: a Chinese character takes two columns."""

from collections.abc import Iterable, Sequence

_WIDE = ((0x1100, 0x115F), (0x2E80, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE30, 0xFE6F), (0xFF01, 0xFF60))
_FIRST_WIDE = _WIDE[0][0]
_NEVER_FIRST = "，。、；：！？）》」』】”’…)],.;:!?%"
_NEVER_LAST = "（《「『【“‘("


def width_of(text: str) -> int:
    """Columns that `text` takes."""
    return len(text) if text.isascii() else sum(2 if _is_wide(letter) else 1 for letter in text)


def ljust(text: str, width: int) -> str:
    """`text` with spaces behind it, up to `width` columns."""
    return text + " " * (width - width_of(text))


def rjust(text: str, width: int) -> str:
    """`text` with spaces before it, up to `width` columns."""
    return " " * (width - width_of(text)) + text


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, ending in `…` where something is lost."""
    if width_of(text) <= width:
        return text
    kept, columns = "", 0
    for letter in text:
        columns += 2 if _is_wide(letter) else 1
        if columns > width - 1:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """
    Lines of at most `width` columns, broken at spaces and between Chinese characters; a longer word is broken anywhere.

    `first` leads the first line, `rest` the others; both count.
    """
    lines: list[str] = []
    line, is_empty = first, True
    for piece in _pieces(text, width - max(width_of(first), width_of(rest))):
        bare = piece.lstrip(" ")
        if is_empty:
            line += bare
        elif width_of(line) + width_of(piece) <= width:
            line += piece
        else:
            lines.append(line)
            line = rest + bare
        is_empty = False
    return [*lines, line]


def flow(items: Iterable[str], width: int, *, gap: str = "   ", indent: str = "") -> list[list[str]]:
    """Items that must not be broken, packed into rows of at most `width` columns, `indent` and gaps counted."""
    rows: list[list[str]] = []
    columns = width
    for item in items:
        taken = width_of(item)
        if rows and columns + len(gap) + taken <= width:
            rows[-1].append(item)
            columns += len(gap) + taken
        else:
            rows.append([item])
            columns = len(indent) + taken
    return rows


def _is_wide(letter: str) -> bool:
    code = ord(letter)
    return code >= _FIRST_WIDE and (any(low <= code <= high for low, high in _WIDE) or code >= 0x1F300)


def _pieces(text: str, longest: int) -> Sequence[str]:
    """What may stand at the start of a line: words with the space before them, single Chinese characters."""
    pieces: list[str] = []
    for letter in text.strip(" "):
        last = pieces[-1] if pieces else ""
        if letter == " ":
            if last.strip(" "):
                pieces.append(" ")
        elif not last or (last.strip(" ") and _may_break(last[-1], letter)) or width_of(last + letter) > longest:
            pieces.append(letter)
        else:
            pieces[-1] += letter
    return pieces


def _may_break(before: str, after: str) -> bool:
    if before in _NEVER_LAST or after in _NEVER_FIRST:
        return False
    return _is_wide(before) or _is_wide(after)
