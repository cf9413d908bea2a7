"""What lives at the peak, by the module that made it: a recorded answer knows it, a formula does not."""

from vramcast.domain.forecast import Category, Engine
from vramcast.domain.program import Answer
from vramcast.render.numbers import gib_cell, percent
from vramcast.render.palette import LOOKS
from vramcast.render.style import Style
from vramcast.render.width import ljust, rjust, wrap

MOST = 10
_GAP = "  "
_FIGURES = len("1234.56  100%")


def modules_lines(forecast: Answer, style: Style) -> list[str]:
    """The largest shares of module and category at the peak; `*` stands for each layer. Empty for formulas."""
    if forecast.engine is not Engine.TRACE:
        return []
    shares = [
        (part.bytes, part.label, term.category, part.formula) for term in forecast.peak.terms for part in term.parts
    ]
    largest = sorted(shares, key=lambda share: -share[0])[:MOST]
    room = style.width - _FIGURES - 2 * len(_GAP)
    lines = [style.bold(_GAP + style.say("live at the peak, by module"))]
    for size, module, category, count in largest:
        first, *rest = wrap(f"{style.say(module)} · {style.say(count)}", room - 2)
        figures = f"{rjust(gib_cell(size), 7)}{_GAP}{rjust(percent(size, forecast.tiers.process), 4)}"
        lines.append(f"{_glyph(category, style)} {ljust(first, room)}{figures}")
        lines += [f"{_GAP}{line}" for line in rest]
    return lines


def _glyph(category: Category, style: Style) -> str:
    look = LOOKS[category]
    return style.tint(look.ascii if style.ascii else look.glyph, look.color)
