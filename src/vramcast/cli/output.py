"""Forms of an answer, for the terminal at hand."""

import sys
from collections.abc import Callable

import click

from vramcast.cli.options import typed
from vramcast.cli.terminal import needs_ascii, terminal_width, wants_color
from vramcast.domain.forecast import Forecast
from vramcast.render.style import Style, english


def style(lang: str = "en") -> Style:
    """What this terminal can do, and the user's language, or English where the terminal has no letters for it."""
    ascii_only = needs_ascii()
    if ascii_only and lang != "en":
        click.echo(f"note: {sys.stdout.encoding} shows no Chinese, so this is English; try PYTHONUTF8=1", err=True)
        lang = "en"
    return Style(width=terminal_width(), color=wants_color(), ascii=ascii_only, say=_speaker(lang))


def _speaker(lang: str) -> Callable[[str], str]:
    if lang == "en":
        return english
    from vramcast.render.language import speaker

    return speaker(lang)


def json_of(forecast: Forecast) -> str:
    """The report as JSON."""
    from vramcast.domain.report import report_of
    from vramcast.render.json import write_report

    return write_report(report_of(forecast), ascii_only=needs_ascii())


def markdown_of(forecast: Forecast, context: click.Context) -> str:
    """The answer as Markdown, with the command that gave it."""
    from vramcast.render.markdown import forecast_markdown

    return forecast_markdown(forecast, " ".join((context.command_path, *typed(context))))
