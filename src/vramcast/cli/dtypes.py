"""`vramcast dtypes`."""

import click

from vramcast.app.dtypes import all_formats, find_format
from vramcast.app.dtypes_demo import quantization_errors, roundings
from vramcast.cli.terminal import terminal_width, wants_color
from vramcast.render.dtypes import format_page, formats_json, formats_table
from vramcast.render.dtypes_demo import demo_json, demo_text


@click.command()
@click.argument("name", required=False)
@click.option("--demo", is_flag=True, help="Show on real values where FP16 overflows and where BF16 rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dtypes(name: str | None, *, demo: bool, as_json: bool) -> None:
    """Number formats: their bits, their limits, and what they take in memory. NAME shows all about one."""
    if demo and name:
        raise click.UsageError("--demo compares FP16 with BF16 and takes no NAME")
    click.echo(_demo(as_json=as_json) if demo else _formats(name, as_json=as_json))


def _formats(name: str | None, *, as_json: bool) -> str:
    chosen = (find_format(name),) if name else all_formats()
    if as_json:
        return formats_json(chosen)
    if name:
        return format_page(chosen[0], width=terminal_width(), color=wants_color())
    return formats_table(chosen, width=terminal_width(), color=wants_color())


def _demo(*, as_json: bool) -> str:
    values, errors = roundings(), quantization_errors()
    if as_json:
        return demo_json(values, errors)
    return demo_text(values, errors, width=terminal_width(), color=wants_color())
