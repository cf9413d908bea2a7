"""A forecast as a piece of static HTML, for a notebook: no script, nothing loaded, readable on light and dark."""

from collections.abc import Iterable
from html import escape

from vramcast.domain.forecast import Forecast, Term
from vramcast.render.assumed import as_flags, by_reason
from vramcast.render.headline import question, verdict_words
from vramcast.render.numbers import gib_cell, percent
from vramcast.render.svg_bar import bar_svg, swatch_svg
from vramcast.render.terms import terms_in_order
from vramcast.units import gib

_STYLE = """<style>
.vramcast{max-width:60em;line-height:1.45}
.vramcast p{margin:.3em 0}
.vramcast table{border-collapse:collapse;margin:.6em 0;color:inherit;font-size:inherit}
.vramcast th,.vramcast td{padding:.15em .8em;text-align:left;border:0;background:none;color:inherit;vertical-align:top}
.vramcast tr{background:none;border-bottom:1px solid rgba(128,128,128,.3)}
.vramcast td:first-child{white-space:nowrap}
.vramcast .n{text-align:right;font-variant-numeric:tabular-nums}
.vramcast .dim{opacity:.75}
.vramcast code{background:none;color:inherit}
</style>"""


def forecast_html(forecast: Forecast) -> str:
    """The verdict, the bar, the terms, the tiers; folded away: what was assumed and left out."""
    status, rest = verdict_words(forecast)
    tiers = forecast.tiers
    sizes = f"allocated {gib(tiers.allocated)} · reserved {gib(tiers.reserved)} · process {gib(tiers.process)} GiB"
    assumed = [
        f"{escape(reason)}: {' '.join(f'<code>{escape(flag)}</code>' for flag in as_flags(group))}"
        for reason, group in by_reason(forecast.assumptions).items()
    ]
    parts = [
        _STYLE,
        f"<p><strong>{escape(status)}</strong>{escape(rest)}</p>",
        f'<p class="dim">{escape(question(forecast))}</p>',
        bar_svg(forecast, f"{status}{rest}"),
        _table(forecast),
        f'<p class="dim">{escape(f"{sizes}; peak at: {forecast.peak.name}")}</p>',
        _folded("assumed", assumed),
        _folded("not counted", map(escape, forecast.unmodelled)),
    ]
    return f'<div class="vramcast">{"".join(parts)}</div>'


def _table(forecast: Forecast) -> str:
    process = forecast.tiers.process
    head = '<tr><th>category</th><th>at the peak</th><th class="n">GiB</th><th class="n">share</th><th></th></tr>'
    rows = "".join(_row(term, process) for term in terms_in_order(forecast.terms))
    total = f'<tr><td></td><td><strong>total</strong></td><td class="n"><strong>{gib_cell(process)}</strong></td>'
    return f'<table>{head}{rows}{total}<td class="n">100%</td><td></td></tr></table>'


def _row(term: Term, process: int) -> str:
    how = "" if term.exactness == "exact" else term.exactness.value
    return (
        f"<tr><td>{swatch_svg(term.category)} {escape(term.category)}</td>"
        f'<td title="{escape(term.formula)}">{escape(term.label)}</td>'
        f'<td class="n">{escape(gib_cell(term.bytes))}</td><td class="n">{escape(percent(term.bytes, process))}</td>'
        f'<td class="dim">{how}</td></tr>'
    )


def _folded(title: str, entries: Iterable[str]) -> str:
    items = "".join(f"<li>{entry}</li>" for entry in entries)
    return f"<details><summary>{title}</summary><ul>{items}</ul></details>" if items else ""
