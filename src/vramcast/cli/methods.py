"""`vramcast methods`."""

from typing import Any

import click

from vramcast.app.methods import compare_methods
from vramcast.cli.options import RunCommand, lang_option, options_named, run_words_of
from vramcast.cli.output import style
from vramcast.render.methods import methods_json, methods_text

SHARED = ("lora-rank", "lora-targets", "optimizer", "seq-len", "micro-batch", "recompute", "loss", "stack", "offline")


@click.command(cls=RunCommand)
@options_named(*SHARED)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@lang_option
def methods(model: str, *, as_json: bool, lang: str, **options: Any) -> None:
    """
    Full training, LoRA and QLoRA side by side, against the rules of thumb.

    MODEL is a name (vramcast models), a hub id, a folder, a config.json, or a size such as 8B.
    """
    rows = compare_methods(model, offline=options["offline"], stack=options["stack"], **run_words_of(options))
    click.echo(methods_json(rows, model) if as_json else methods_text(rows, model, style(lang)))
