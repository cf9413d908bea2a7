"""`vramcast gpus`."""

import click

from vramcast.app.gpus import Listing, list_devices
from vramcast.cli.terminal import terminal_width, wants_color
from vramcast.render.gpus import device_page, devices_json, devices_table


@click.command()
@click.argument("word", metavar="[FILTER]", required=False)
@click.option("--min-memory", metavar="SIZE", help="Only devices with at least this much memory as sold, e.g. 24GiB.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gpus(word: str | None, min_memory: str | None, *, as_json: bool) -> None:
    """Devices: memory as sold and as usable, speed, context. FILTER is a part of names; a whole name shows all of it."""
    click.echo(_text(list_devices(word, min_memory), as_json=as_json))


def _text(listing: Listing, *, as_json: bool) -> str:
    if as_json:
        return devices_json((listing.named,) if listing.named else listing.devices)
    if listing.named:
        return device_page(listing.named, listing.devices, width=terminal_width(), color=wants_color())
    return devices_table(listing.devices, width=terminal_width(), color=wants_color())
