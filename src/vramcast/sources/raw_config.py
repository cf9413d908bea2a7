"""A model's `config.json` as it is, for code that builds the model itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vramcast.catalog.models import find_model_row
from vramcast.domain.errors import InputError, one_line
from vramcast.sources.json_file import read_json

CONFIG = "config.json"
_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def raw_config(name: str, *, offline: bool = False) -> Mapping[str, Any]:
    """
    The parsed config of the model that `name` means: a folder, a file, a catalog name, or a hub id.

    Raises:
        InputError: `name` has no config: a bare size, a lone weights file, or nothing at all.
    """
    path = Path(name.strip())
    file = path / CONFIG if path.is_dir() else path
    if file.is_file() and file.suffix == ".json":
        return read_json(file, one_line(name))
    row = find_model_row(name.strip())
    if row is not None:
        return row.config
    if name.count("/") == 1 and not path.exists():
        from vramcast.sources.hub import hub_config

        repo, _, revision = name.partition("@")
        return read_json(hub_config(repo, revision or None, offline=offline), one_line(name))
    raise InputError(
        f"{name[:60]!r} has no config to build a model from", "a catalog name, a folder, a config.json, a hub id"
    )


def dtype_of(config: Mapping[str, Any]) -> str:
    """The number format that a config names for its weights, BF16 if it names none."""
    text = config.get("text_config")
    named = [part.get(key) for part in (config, text) if isinstance(part, Mapping) for key in ("dtype", "torch_dtype")]
    return next((_DTYPES[name] for name in named if isinstance(name, str) and name in _DTYPES), "bf16")
