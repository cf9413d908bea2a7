"""`vramcast predict`."""

from typing import Any

import click

from vramcast.cli.options import RunCommand, engine_options, forecast_of, lang_option, run_options
from vramcast.cli.output import json_of, markdown_of, style
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Forecast

FORMATS = ("human", "json", "markdown")


@click.command(cls=RunCommand)
@run_options
@engine_options
@click.option("--fits", is_flag=True, help="Exit with 1 if it does not fit; needs --gpu or --memory.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="human", help="How to print the answer.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@lang_option
@click.pass_context
def predict(
    context: click.Context, /, model: str, *, fits: bool, form: str, as_json: bool, lang: str, **options: Any
) -> None:
    """
    How much memory a run needs, and whether it fits.

    MODEL is a name (vramcast models), a hub id, a folder, a config.json, or a size such as 8B.
    """
    if fits and not (options["gpu"] or options["memory"]):
        raise InputError("--fits needs a device", "--gpu NAME or --memory 24GiB")
    forecast = forecast_of(model, options)
    click.echo(_text(context, forecast, "json" if as_json else form, lang))
    if fits and forecast.verdict and not forecast.verdict.fits:
        context.exit(1)


def _text(context: click.Context, forecast: Forecast, form: str, lang: str) -> str:
    if form == "json":
        return json_of(forecast)
    if form == "markdown":
        return markdown_of(forecast, context)
    from vramcast.cli.next_steps import next_steps
    from vramcast.render.terminal import forecast_text

    return forecast_text(forecast, style(lang), next_steps(context, forecast))
