"""The stacked bar as SVG: each category a colour and a pattern, a tick where the device ends."""

from html import escape

from vramcast.domain.forecast import Category, Forecast
from vramcast.render.numbers import gib_cell
from vramcast.render.palette import BAND, LOOKS
from vramcast.units import gib

_WIDTH, _HEIGHT, _BAR = 960, 52, 28
_PATTERNS = {
    Category.GRADIENTS: "M2 0V8",
    Category.OPTIMIZER_STATES: "M0 8L8 0",
    Category.ACTIVATIONS: "M1 2H3M5 6H7",
    Category.LOGITS: "M0 0L8 8",
    Category.KV_CACHE: "M0 4H8",
    Category.TEMPORARY: "M4 3V5",
    Category.COMMUNICATION: "M0 0L8 8M0 8L8 0",
    Category.WORKSPACE: "M0 4L4 0M4 8L8 4",
    Category.RUNTIME: "M0 4H8M4 0V8",
    Category.FRAGMENTATION: "M0 2H4",
    Category.UNEXPLAINED: "M1 1H7V7H1Z",
}


def bar_svg(forecast: Forecast, label: str) -> str:
    """The bar; `label` is what a screen reader says. Text takes the page's colour, so that it reads on light and dark."""
    capacity = forecast.verdict.capacity if forecast.verdict else 0
    scale = max(forecast.tiers.process, forecast.tiers.high, capacity)
    prefix = f"vramcast-{forecast.tiers.process:x}"
    pieces = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" aria-label="{escape(label)}">']
    pieces.append(
        f"<defs>{''.join(_pattern(one, prefix) for one in forecast.by_category() if one in _PATTERNS)}</defs>"
    )
    edge = 0
    for category, size in forecast.by_category().items():
        title = f"{category} {gib_cell(size)} GiB"
        pieces.append(_stretch(edge / scale, size / scale, LOOKS[category].hex, title))
        if category in _PATTERNS:
            pieces.append(_stretch(edge / scale, size / scale, f"url(#{prefix}-{category.name.lower()})", title))
        edge += size
    band = forecast.tiers.high - edge
    if band > 0:
        pieces.append(_stretch(edge / scale, band / scale, BAND.hex, f"up to {gib(forecast.tiers.high)} GiB", 0.6))
    if capacity:
        pieces.append(_frame(capacity / scale))
        pieces.append(_tick(capacity / scale, f"usable {gib(capacity, 1)} GiB"))
    return "".join((*pieces, "</svg>"))


def swatch_svg(category: Category) -> str:
    """A small square in the category's colour, for a table."""
    color = LOOKS[category].hex
    return f'<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true"><rect width="10" height="10" fill="{color}"/></svg>'


def _pattern(category: Category, prefix: str) -> str:
    return (
        f'<pattern id="{prefix}-{category.name.lower()}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<path d="{_PATTERNS[category]}" stroke="#fff" stroke-opacity="0.6" stroke-width="1.5" fill="none"/></pattern>'
    )


def _stretch(start: float, share: float, fill: str, title: str, opacity: float = 1.0) -> str:
    place = f'x="{start * _WIDTH:.1f}" y="4" width="{share * _WIDTH:.1f}" height="{_BAR - 4}"'
    shown = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return f'<rect {place} fill="{fill}"{shown}><title>{escape(title)}</title></rect>'


def _frame(share: float) -> str:
    """The device's room, filled or not."""
    place = f'x="0.5" y="4" width="{share * _WIDTH - 1:.1f}" height="{_BAR - 4}"'
    return f'<rect {place} fill="none" stroke="currentColor" stroke-opacity="0.3"/>'


def _tick(share: float, label: str) -> str:
    x = min(share * _WIDTH, _WIDTH - 1)
    anchor = "end" if share > 0.5 else "start"
    return (
        f'<path d="M{x:.1f} 0V{_BAR + 6}" stroke="currentColor" stroke-width="2"/>'
        f'<text x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="{anchor}" font-size="14" fill="currentColor">'
        f"{escape(label)}</text>"
    )
