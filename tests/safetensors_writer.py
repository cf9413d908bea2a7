"""A tiny writer of safetensors files: the header is real, the data is a hole in a sparse file."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from vramcast.sources.safetensors import DTYPES

Entries = Mapping[str, tuple[str, tuple[int, ...]]]


def header_of(entries: Entries) -> dict[str, Any]:
    """The header table of tensors (name → dtype, shape) laid end to end in the order given."""
    table: dict[str, Any] = {}
    position = 0
    for name, (dtype, shape) in entries.items():
        end = position + prod(shape) * DTYPES[dtype][1] // 8
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    return table


def write_header(path: Path, table: Mapping[str, Any], data: int = 0) -> Path:
    """A file with this header and `data` bytes after it, all zero and without blocks on disk."""
    text = json.dumps({"__metadata__": {"format": "pt"}, **table}).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + data)
    return path


def write_safetensors(path: Path, entries: Entries) -> Path:
    """A whole safetensors file of these tensors."""
    table = header_of(entries)
    return write_header(path, table, max((entry["data_offsets"][1] for entry in table.values()), default=0))


def write_shards(folder: Path, shards: Mapping[str, Entries], metadata: Mapping[str, Any] | None = None) -> Path:
    """Several files and their index; returns the index."""
    for file, entries in shards.items():
        write_safetensors(folder / file, entries)
    index = folder / "model.safetensors.index.json"
    weight_map = {name: file for file, entries in shards.items() for name in entries}
    index.write_text(json.dumps({"metadata": dict(metadata or {}), "weight_map": weight_map}))
    return index
