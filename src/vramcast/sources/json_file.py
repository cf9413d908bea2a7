"""JSON from strangers: read within limits, and every way it can be broken is an InputError."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from vramcast.domain.errors import InputError
from vramcast.sources.shown import shown
from vramcast.units import MIB, format_bytes

LARGEST_CONFIG = 16 * MIB  # the largest config.json on the hub is a few hundred KiB


def read_json(path: Path, name: str, limit: int = LARGEST_CONFIG) -> dict[str, Any]:
    """
    The table in a JSON file of at most `limit` bytes.

    Raises:
        InputError: the file cannot be read, is larger, or does not hold one JSON table.
    """
    return parse_json(_read_bytes(path, name, limit), name)


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """
    The table that `data` holds as UTF-8 JSON.

    `NaN` and `Infinity` pass, though they are no JSON: Mamba 2 configs hold an infinite `time_step_limit`. No accessor
    of `Config` takes them for a size or a number.

    Raises:
        InputError: not UTF-8, not JSON, a key twice in one table, nested too deeply, a number too long, not a table.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text (at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{name}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise InputError(f"{name}: JSON nested too deeply") from error
    except _RepeatedKeyError as error:
        raise InputError(f"{name}: the key {shown(error.args[0])} stands twice in one table") from error
    except ValueError as error:  # the only one left: Python refuses whole numbers of over 4,300 digits
        raise InputError(f"{name}: a number with too many digits") from error
    if not isinstance(value, dict):
        raise InputError(f"{name}: the JSON is not a table, but {_kind(value)}")
    return value


# Private functions


def _read_bytes(path: Path, name: str, limit: int) -> bytes:
    if not os.path.isfile(path):
        raise InputError(f"{name}: not a regular file")  # a pipe or a device could block for ever
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(limit + 1) if size <= limit else b""
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    size = max(size, len(data))
    if size > limit:
        raise InputError(f"{name}: {format_bytes(size)} of JSON, more than the {format_bytes(limit)} it may have")
    return data


class _RepeatedKeyError(ValueError):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise _RepeatedKeyError(key)
    return table


def _kind(value: object) -> str:
    match value:
        case list():
            return "a list"
        case str():
            return "a string"
        case bool() | None:
            return "true, false or null"
        case _:
            return "a number"
