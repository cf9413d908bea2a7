"""The catalog's data files: read as text or JSON, without the cost of importing pathlib at start-up."""

import json
import os
from typing import Any

_DATA = os.path.join(os.path.dirname(__file__), "data")


def read_text(*names: str) -> str:
    """The text of a data file, by its path under `data`."""
    with open(os.path.join(_DATA, *names), encoding="utf-8") as file:
        return file.read()


def read_rows(*names: str) -> list[dict[str, Any]]:
    """The rows of a JSON data file."""
    rows: list[dict[str, Any]] = json.loads(read_text(*names))
    return rows


def file_names(*names: str) -> list[str]:
    """The files in a folder under `data`, sorted."""
    return sorted(os.listdir(os.path.join(_DATA, *names)))
