"""`vramcast explain`."""

from typing import Any

import click

from vramcast.cli.next_steps import lower
from vramcast.cli.options import RunCommand, engine_options, forecast_of, lang_option, run_options
from vramcast.cli.output import style
from vramcast.render.explain import explain_text


@click.command(cls=RunCommand)
@run_options
@engine_options
@lang_option
@click.pass_context
def explain(context: click.Context, /, model: str, *, lang: str, **options: Any) -> None:
    """
    The derivation: every formula, with letters, with numbers, in bytes; and what would lower the need.

    MODEL is a name (vramcast models), a hub id, a folder, a config.json, or a size such as 8B.
    """
    forecast = forecast_of(model, options)
    click.echo(explain_text(forecast, style(lang), lower(context, forecast)))
