"""
The reader's language. Rules and renderers write English; here it is looked up sentence by sentence.

An entry of the data file is a sentence, or a pattern with holes: `{n}` is a number, `{i}` one word and `{w}` a name, all kept
as they are; `{t}` is text that is looked up in turn. In the translation `{0}`, `{1}`, … are the holes in their order.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from vramcast.render.style import english

LANGUAGES = ("en", "zh")
_DATA = Path(__file__).parent / "data"
_HOLES = {"n": r"([-+<]?\d[\d.,]*)", "i": r"(\S+)", "w": r"(.+?)", "t": r"(.+?)"}
_INNER_SPACE = re.compile(r"(?<=[\u2e80-\u9fff\uff01-\uff60]) (?=[\u2e80-\u9fff\uff01-\uff60])")
_HOLE = re.compile(r"\{([niwt])\}")


def speaker(language: str) -> Callable[[str], str]:
    """What turns English text into `language`; what has no entry stays English."""
    if language == "en":
        return english
    return lambda text: translated(text, language) or text


def translated(text: str, language: str) -> str | None:
    """The text in `language`, None where the text or a part of it has no entry."""
    sentences, patterns = _entries(language)
    found = sentences.get(text)
    if found is not None:
        return found
    for pattern, kinds, template in patterns:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        pieces = [
            translated(piece, language) if kind == "t" else piece
            for piece, kind in zip(match.groups(), kinds, strict=True)
        ]
        if None not in pieces:
            return _INNER_SPACE.sub("", template.format(*pieces))
    return None


@cache
def _entries(language: str) -> tuple[dict[str, str], tuple[tuple[re.Pattern[str], list[str], str], ...]]:
    """Sentences that are looked up as they are, and patterns in the order in which they are tried."""
    table: dict[str, str] = json.loads((_DATA / f"{language}.json").read_text(encoding="utf-8"))
    sentences = {key: value for key, value in table.items() if not _HOLE.search(key)}
    patterns = tuple((_pattern(key), _HOLE.findall(key), value) for key, value in table.items() if _HOLE.search(key))
    return sentences, patterns


def _pattern(key: str) -> re.Pattern[str]:
    pieces = _HOLE.split(key)
    return re.compile("".join(_HOLES[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)))
