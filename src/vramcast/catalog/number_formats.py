"""The number formats that tensors are stored or multiplied in, by name."""

from functools import cache
from typing import Any

from vramcast.catalog.data_file import read_rows
from vramcast.domain.errors import InputError
from vramcast.domain.number_format import FormatKind, NumberFormat, Scale, Specials


@cache
def all_formats() -> tuple[NumberFormat, ...]:
    """Every format, in the order of the tables: from wide to narrow, floats before integers and codebooks."""
    return tuple(_format(row) for row in read_rows("number_formats.json"))


def find_format(name: str) -> NumberFormat:
    """
    The format of this name or alias; case, `-`, `_` and a leading `torch.` do not matter.

    Raises:
        InputError: no format goes by this name.
    """
    found = _by_name().get(_plain(name))
    if found is None:
        raise InputError(f"no number format is called {name[:40]!r}", _hint(name))
    return found


@cache
def _by_name() -> dict[str, NumberFormat]:
    return {_plain(word): one for one in all_formats() for word in (one.name, *one.aliases)}


def _plain(name: str) -> str:
    return name.strip().lower().removeprefix("torch.").replace("-", "").replace("_", "")


def _hint(name: str) -> str:
    from difflib import get_close_matches

    plain = _plain(name[:40])
    names = [one.name for one in all_formats()]
    near = [known for known in names if plain and _plain(known).startswith(plain)]
    near = near or get_close_matches(name[:40].lower(), names, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "vramcast dtypes lists them"


def _format(row: dict[str, Any]) -> NumberFormat:
    fields = {
        "kind": FormatKind(row["kind"]),
        "specials": Specials(row.get("specials", "none")),
        "levels": tuple(row.get("levels", ())),
        "scales": tuple(Scale(**scale) for scale in row.get("scales", ())),
        "aliases": tuple(row["aliases"]),
    }
    return NumberFormat(**(row | fields))
