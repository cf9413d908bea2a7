"""One horizontal bar of all categories, with a tick where the device ends, and its legend."""

from dataclasses import dataclass

from vramcast.domain.program import Answer
from vramcast.render.numbers import gib_cell
from vramcast.render.palette import BAND, LOOKS, Look
from vramcast.render.style import Style
from vramcast.render.width import flow, width_of
from vramcast.units import gib

_TICK = "│"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Cells of one look."""

    look: Look
    cells: int


def bar_lines(forecast: Answer, style: Style) -> list[str]:
    """The bar, the tick's label under it, and the legend with each category's GiB."""
    capacity = forecast.verdict.capacity if forecast.verdict else None
    columns = style.width - (1 if capacity else 0)
    scale = max(forecast.tiers.process, forecast.tiers.high, capacity or 0)
    cells = [
        style.tint(_glyph(stretch.look, style), stretch.look.color)
        for stretch in _stretches(forecast, columns / scale)
        for _ in range(stretch.cells)
    ]
    if capacity is None:
        return ["".join(cells), *_legend(forecast, style)]
    tick = round(capacity * columns / scale)
    cells += [" "] * (columns - len(cells))
    cells.insert(tick, style.bold(_TICK))
    label = f"{style.say('usable')} {gib(capacity, 1)} GiB"
    return ["".join(cells), style.dim(_under(tick, label, style.width)), *_legend(forecast, style)]


def _stretches(forecast: Answer, cells_per_byte: float) -> list[_Stretch]:
    """Cells of each category; edges are rounded, not widths, so that the bar is as long as the sum."""
    stretches: list[_Stretch] = []
    edge = total = 0
    sizes = [(LOOKS[category], size) for category, size in forecast.by_category().items()]
    for look, size in [*sizes, (BAND, forecast.tiers.high - forecast.tiers.process)]:
        total += size
        end = round(total * cells_per_byte)
        stretches.append(_Stretch(look, end - edge))
        edge = end
    return stretches


def _glyph(look: Look, style: Style) -> str:
    return look.ascii if style.ascii else look.glyph


def _under(tick: int, label: str, width: int) -> str:
    """The label on that side of the tick where it has room."""
    if width_of(label) + 2 <= tick:
        return f"{label} ─┘".rjust(tick + 1 - (width_of(label) - len(label)))
    return f"{' ' * tick}└─ {label}"[:width]


def _legend(forecast: Answer, style: Style) -> list[str]:
    entries = [
        (LOOKS[category], f"{style.say(category)} {gib_cell(size)}")
        for category, size in forecast.by_category().items()
    ]
    tiers = forecast.tiers
    if gib(tiers.high) != gib(tiers.process):
        entries.append((BAND, style.say(f"up to {gib(tiers.high)}")))
    colored = {f"{_glyph(look, style)} {text}": _colored(look, text, style) for look, text in entries}
    return ["   ".join(colored[item] for item in row) for row in flow(colored, style.width)]


def _colored(look: Look, text: str, style: Style) -> str:
    return f"{style.tint(_glyph(look, style), look.color)} {text}"
