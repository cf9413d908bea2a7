"""`vramcast models`."""

import click

from vramcast.app.models import list_architectures, list_models
from vramcast.cli.terminal import terminal_width, wants_color
from vramcast.render.models import (
    architectures_json,
    architectures_table,
    model_page,
    models_json,
    models_table,
)


@click.command()
@click.argument("word", metavar="[FILTER]", required=False)
@click.option("--architectures", is_flag=True, help="List the model types that have a closed form.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(word: str | None, *, architectures: bool, as_json: bool) -> None:
    """Well-known models: size, layers, cache. FILTER is a part of a name or type; a whole name shows all of one model."""
    click.echo((_architectures if architectures else _models)(word, as_json=as_json))


def _models(word: str | None, *, as_json: bool) -> str:
    listing = list_models(word)
    if as_json:
        return models_json(listing.models)
    if listing.named:
        return model_page(listing.models[0], width=terminal_width(), color=wants_color())
    return models_table(listing.models, width=terminal_width(), color=wants_color())


def _architectures(word: str | None, *, as_json: bool) -> str:
    listing = list_architectures(word)
    if as_json:
        return architectures_json(listing)
    return architectures_table(listing, width=terminal_width(), color=wants_color())
