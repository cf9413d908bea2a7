"""A forecast as Markdown, for an issue or a pull request."""

from vramcast.domain.forecast import Forecast
from vramcast.render.assumed import as_flags, by_reason
from vramcast.render.headline import question, verdict_words
from vramcast.render.numbers import gib_cell, percent
from vramcast.render.terms import terms_in_order
from vramcast.units import gib

_MARKUP = "\\`*_|<>[]"


def forecast_markdown(forecast: Forecast, command: str = "") -> str:
    """The verdict, the terms, the tiers; folded away: what was assumed and left out. `command` is what gave the answer."""
    status, rest = verdict_words(forecast)
    parts = [
        f"**{status}**{_escaped(rest)}" if status else f"**{_escaped(rest)}**",
        _escaped(question(forecast)),
        "\n".join(_table(forecast)),
        _tiers(forecast),
        _folded("Assumed", [f"{_escaped(reason)}: {_code(flags)}" for reason, flags in _assumed(forecast)]),
        _folded("Not counted", [_escaped(note) for note in forecast.unmodelled]),
        f"```sh\n{command}\n```" if command else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _table(forecast: Forecast) -> list[str]:
    process = forecast.tiers.process
    rows = [
        f"| {term.category} | {_escaped(term.label)} | {gib_cell(term.bytes)} | {percent(term.bytes, process)} "
        f"| {term.exactness} |"
        for term in terms_in_order(forecast.terms)
    ]
    head = ("| category | term | GiB | share | how sure |", "|:--|:--|--:|--:|:--|")
    return [*head, *rows, f"| | **total** | **{gib_cell(process)}** | | |"]


def _tiers(forecast: Forecast) -> str:
    tiers = forecast.tiers
    sizes = f"allocated {gib(tiers.allocated)} · reserved {gib(tiers.reserved)} · process {gib(tiers.process)} GiB"
    return f"{sizes}; peak at: {_escaped(forecast.peak.name)}"


def _assumed(forecast: Forecast) -> list[tuple[str, list[str]]]:
    return [(reason, as_flags(group)) for reason, group in by_reason(forecast.assumptions).items()]


def _code(flags: list[str]) -> str:
    return ", ".join(f"`{flag}`" for flag in flags)


def _folded(title: str, entries: list[str]) -> str:
    if not entries:
        return ""
    items = "\n".join(f"- {entry}" for entry in entries)
    return f"<details><summary>{title}</summary>\n\n{items}\n\n</details>"


def _escaped(text: str) -> str:
    """Text that no Markdown reader takes for markup."""
    return "".join(f"\\{letter}" if letter in _MARKUP else letter for letter in text)
