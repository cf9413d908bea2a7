"""How the bytes of one term come about: formula, numbers, parts, source."""

from collections.abc import Mapping

from vramcast.domain.forecast import Part, Term
from vramcast.render.exactness import mark
from vramcast.render.formula import in_numbers
from vramcast.render.letters import letters_in
from vramcast.render.numbers import gib_cell
from vramcast.render.style import Style
from vramcast.render.width import ljust, width_of, wrap

SIZE = 9
_TERM, _STEP, _PART = "  ", "    ", "      "


def term_lines(term: Term, known: Mapping[str, float], style: Style) -> list[str]:
    """The term with its GiB, the formula with letters, with numbers, in bytes, its parts, its source, what it ignores."""
    size = f"{gib_cell(term.bytes)}{mark(term.exactness)}".rstrip()
    lines = sized(style.say(term.label), size, style, first=_TERM)
    lines += [line for step in _steps(term) for line in wrap(step, style.width, first=_STEP, rest=_PART)]
    for part in term.parts:
        lines += sized(style.say(part.label), gib_cell(part.bytes), style, first=_STEP)
        lines += wrap(_account(part, known), style.width, first=_PART, rest=_PART + "  ")
    for note in (f"source: {term.source}" if term.source else "", f"ignores: {term.ignores}" if term.ignores else ""):
        if note:
            lines += [style.dim(line) for line in wrap(style.say(note), style.width, first=_STEP, rest=_PART)]
    return lines


def sized(text: str, size: str, style: Style, *, first: str) -> list[str]:
    """A text with a size at the right edge; the text continues on the next line if it must."""
    head, *rest = wrap(text, style.width - SIZE - 1, first=first, rest=first)
    return [f"{ljust(head, style.width - max(SIZE, width_of(size)))}{size:>{SIZE}}", *rest]


def _steps(term: Term) -> list[str]:
    """The formula with letters, with numbers, in bytes; a step that says nothing new is left out."""
    numbers, total = in_numbers(term.formula, term.values), f"{term.bytes:,}"
    return [term.formula, *([f"= {numbers}"] if numbers not in (term.formula, total) else []), f"= {total} B"]


def _account(part: Part, known: Mapping[str, float]) -> str:
    """The same on one line; numbers only where every letter has one."""
    steps = [part.formula]
    if letters_in((part.formula,)) and all(letter in known for letter in letters_in((part.formula,))):
        steps.append(in_numbers(part.formula, known.items()))
    return " = ".join((*steps, f"{part.bytes:,} B"))
