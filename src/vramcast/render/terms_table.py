"""The terms at the peak as a table: category, term, GiB, share."""

from collections.abc import Sequence

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Forecast, Term
from vramcast.render.exactness import mark
from vramcast.render.numbers import gib_cell, percent
from vramcast.render.palette import LOOKS
from vramcast.render.style import Style
from vramcast.render.terms import terms_in_order
from vramcast.render.width import ljust, rjust, width_of, wrap

_GAP = "  "
_FIGURES = len(_GAP) * 3 + len("1234.56~") + len("share")
_NARROW = 60
_MARKS = {
    Exactness.MODELLED: "modelled",
    Exactness.FITTED: "fitted to a measurement",
    Exactness.UNKNOWN: "nobody measured it",
}


def terms_lines(forecast: Forecast, style: Style) -> list[str]:
    """Terms by category in the fixed order, largest first; a long label continues on the next line."""
    shown = terms_in_order(forecast.terms)
    narrow = style.width < _NARROW
    names = ["" if narrow else style.say(term.category) for term in shown]
    left = max(map(width_of, names)) + 2
    room = style.width - left - _FIGURES
    title = ljust(_GAP + style.say("at the peak"), left + len(_GAP) + room)
    lines = [style.bold(f"{title}{_GAP}{'GiB':>7} {_GAP}{rjust(style.say('share'), 5)}")]
    for index, (term, name) in enumerate(zip(shown, names, strict=True)):
        new = not index or shown[index - 1].category is not term.category
        first, *rest = wrap(style.say(term.label), room)
        numbers = f"{rjust(gib_cell(term.bytes), 7)}{mark(term.exactness)}{_GAP}"
        share = percent(term.bytes, forecast.tiers.process)
        lead = _lead(term.category, name, left, style) if new else " " * left
        lines.append(f"{lead}{_GAP}{ljust(first, room)}{_GAP}{numbers}{share:>5}")
        lines.extend(f"{' ' * left}{_GAP}{line}" for line in rest)
    total = f"{ljust(style.say('total'), room)}{_GAP}{rjust(gib_cell(forecast.tiers.process), 7)}"
    return [*lines, f"{' ' * left}{_GAP}{style.bold(total)} {_GAP}{'100%':>5}", *_marks(shown, style)]


def _lead(category: Category, name: str, width: int, style: Style) -> str:
    look = LOOKS[category]
    return f"{style.tint(look.ascii if style.ascii else look.glyph, look.color)} {ljust(name, width - 2)}"


def _marks(terms: Sequence[Term], style: Style) -> list[str]:
    used = {term.exactness for term in terms}
    words = [f"{mark(exactness)} {style.say(word)}" for exactness, word in _MARKS.items() if exactness in used]
    return [style.dim(line) for line in wrap(" · ".join(words), style.width, first=_GAP, rest=_GAP)] if words else []
