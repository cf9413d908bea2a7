"""What would lower the need, and by how much."""

from collections.abc import Sequence

from vramcast.domain.forecast import Forecast
from vramcast.render.headline import need_words
from vramcast.render.numbers import gib_cell
from vramcast.render.style import Style
from vramcast.render.width import ljust, rjust, width_of

TITLE = "what would lower it, one change at a time"
_GAP = "  "
_FIGURE = len("1234.56")


def changes_lines(forecast: Forecast, changes: Sequence[tuple[str, Forecast]], style: Style) -> list[str]:
    """A line a change, as flags and the forecast that follows, the one that saves most first; empty if there is none."""
    if not changes:
        return []
    ordered = sorted(changes, key=lambda change: change[1].tiers.process)
    room = max(width_of(flags) for flags, _ in ordered)
    lines = [style.bold(style.say(TITLE)), style.dim("─" * style.width)]
    for flags, changed in ordered:
        saved = rjust(f"−{gib_cell(forecast.tiers.process - changed.tiers.process)}", _FIGURE)
        lines.append(f"{_GAP}{ljust(flags, room)}{_GAP}{saved}{_GAP}{style.say(need_words(changed))}")
    return lines
