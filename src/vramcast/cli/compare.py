"""`vramcast compare`."""

import os
import shlex
from pathlib import Path

import click

from vramcast.app.compare import difference
from vramcast.cli.commands import PROGRAM
from vramcast.cli.options import forecast_of, lang_option
from vramcast.cli.output import style
from vramcast.cli.predict import predict
from vramcast.domain.errors import InputError
from vramcast.domain.report import Report, report_of
from vramcast.render.compare import difference_json, difference_text
from vramcast.render.json import read_report


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@lang_option
def compare(before: str, after: str, *, as_json: bool, lang: str) -> None:
    """
    What changed between two forecasts, term by term.

    BEFORE and AFTER are each a file that predict --json wrote, or a run in quotes, as predict takes it:

    \b
    vramcast compare lora.json qlora.json
    vramcast compare "llama-3.1-8b --method lora" "llama-3.1-8b --method qlora"
    """
    found = difference(_report(before), _report(after))
    click.echo(difference_json(found) if as_json else difference_text(found, (before, after), style(lang)))


def _report(text: str) -> Report:
    """The report in a file, or of the run that the words describe."""
    if text.endswith(".json") and os.path.isfile(text):
        return read_report(Path(text))
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{text[:60]!r}: {error}", "close the quotes within the quotes") from error
    with predict.make_context(f"{PROGRAM} predict", words) as context:
        model = context.params["model"]
        return report_of(forecast_of(model, context.params))
