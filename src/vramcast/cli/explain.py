"""`vramcast explain`."""

from typing import Any

import click

from vramcast.cli.options import RunCommand, engine_options, forecast_of, lang_option, run_options
from vramcast.cli.output import style
from vramcast.render.explain import explain_text


@click.command(cls=RunCommand)
@run_options
@engine_options
@lang_option
def explain(model: str, *, lang: str, **options: Any) -> None:
    """
    The derivation: every formula, with letters, with numbers, in bytes.

    MODEL is a name (vramcast models), a hub id, a folder, a config.json, or a size such as 8B.
    """
    click.echo(explain_text(forecast_of(model, options), style(lang)))
