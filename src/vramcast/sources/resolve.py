"""Every way to name a model, and which of them a name is."""

import os
import re
from dataclasses import replace

from vramcast.catalog.models import find_model_row
from vramcast.domain.errors import InputError, one_line
from vramcast.domain.model import ModelSpec
from vramcast.sources.from_config import from_config
from vramcast.sources.size import read_size

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]{1,100}))?", re.ASCII)
_PATH_LIKE = re.compile(r"[./~].*|.*\.(json|safetensors|gguf|bin|pt)", re.DOTALL)
_WAYS = (
    "a model is a catalog name (vramcast models), a hub id (org/name), a folder, a config.json, or a size such as 8B"
)


def load_model(name: str, *, offline: bool = False) -> ModelSpec:
    """
    The model that `name` means: a path that exists, else a catalog name or alias, else a size, else a hub id.

    A model of the catalog is answered from it, also by its hub id, so that no network is needed. `offline` keeps a hub
    id to the local cache.

    Raises:
        InputError: `name` is none of these, or what it names cannot be read.
        UnsupportedError: no closed form knows the model's architecture.
    """
    name = name.strip()
    on_disk = _read_path(name) if os.path.exists(name) else None
    if on_disk is not None:
        return on_disk
    row = find_model_row(name)
    if row is not None:
        return replace(from_config(row.config, row.name), source=row.source)
    model = read_size(name)
    if model is not None:
        return model
    hub_id = _HUB_ID.fullmatch(name)
    if hub_id is not None and not os.path.exists(name):
        from vramcast.sources.hub import read_hub_model

        return read_hub_model(hub_id[1], hub_id[2], offline=offline)
    raise _unknown(name)


def _read_path(name: str) -> ModelSpec | None:
    """The model in an existing file or folder; None for a folder that holds none, whose name may mean something else."""
    from pathlib import Path

    from vramcast.sources.folder import is_model_folder, read_file, read_folder

    path = Path(name)
    if path.is_file():
        return read_file(path, one_line(name))
    return read_folder(path, one_line(name)) if is_model_folder(path) else None


def _unknown(name: str) -> InputError:
    shown = repr(name[:60])
    if os.path.isdir(name):
        return InputError(f"{shown}: the folder has neither a config.json nor a .safetensors file")
    if os.path.exists(name):
        return InputError(f"{shown}: neither a file nor a folder")
    if _PATH_LIKE.fullmatch(name):
        return InputError(f"{shown}: no such file or folder", _WAYS)
    from difflib import get_close_matches

    from vramcast.catalog.models import all_rows

    names = {alias.lower(): row.name for row in all_rows() for alias in (row.name, *row.aliases)}
    close = dict.fromkeys(names[alias] for alias in get_close_matches(name.lower()[:60], names, n=5, cutoff=0.5))
    meant = f"did you mean {' or '.join(list(close)[:3])}? else " if close else ""
    return InputError(f"no model called {shown}", meant + _WAYS)
