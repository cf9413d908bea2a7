"""A model on this machine's disk: a folder, a `config.json`, a safetensors file or its index."""

from dataclasses import replace
from os.path import exists, isdir
from pathlib import Path

from vramcast.domain.errors import InputError, UnsupportedError, VramcastError
from vramcast.domain.model import ModelSpec
from vramcast.sources.checkpoint import (
    Checkpoint,
    bare_checkpoint,
    missing_parts,
    read_checkpoint,
    read_files,
    read_index,
)
from vramcast.sources.from_config import CONFIG, from_config
from vramcast.sources.json_file import read_json
from vramcast.sources.shown import shown

ADAPTER = "adapter_config.json"


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds something that `read_folder` can read, or can say why not."""
    return isdir(folder) and (exists(folder / CONFIG) or any(folder.glob("*.safetensors*")))


def read_folder(folder: Path, name: str) -> ModelSpec:
    """
    The model in a folder: from `config.json` where there is one, with what the safetensors headers beside it say.

    With a config, a broken checkpoint is only noted; without one it is all there is.

    Raises:
        InputError: neither config nor safetensors, or unreadable ones; an adapter without its base model.
        UnsupportedError: no closed form knows the config's `model_type`.
    """
    if exists(folder / CONFIG):
        data = read_json(folder / CONFIG, name)
        checkpoint, notes = checkpoint_beside(folder, name)
        model = from_config(data, name, checkpoint)
        return replace(model, notes=(*model.notes, *notes))
    if exists(folder / ADAPTER):
        base = read_json(folder / ADAPTER, f"{name}: {ADAPTER}").get("base_model_name_or_path")
        raise InputError(
            f"{name}: an adapter, not a model", f"name the model it belongs to: {shown(base)}" if base else ""
        )
    checkpoint = read_checkpoint(folder, name)
    if checkpoint is None:
        raise InputError(f"{name}: the folder has neither a config.json nor a .safetensors file")
    return bare_checkpoint(checkpoint, name)


def read_file(path: Path, name: str) -> ModelSpec:
    """
    The model that one file describes: a config, a safetensors file, or the index of several.

    Raises:
        InputError: unreadable, or not what its name says.
        UnsupportedError: another kind of file, or no closed form knows the config's `model_type`.
    """
    if path.name.endswith(".index.json"):
        return bare_checkpoint(read_index(path, name), name)
    if path.suffix == ".json":
        return from_config(read_json(path, name), name)
    if path.suffix != ".safetensors":
        raise UnsupportedError(
            f"{name}: no kind of file that describes a model",
            "give a config.json, a .safetensors file or its index, or the folder that holds them",
        )
    model = bare_checkpoint(read_files([path], name), name)
    missing = missing_parts([path])
    return replace(model, notes=(*model.notes, f"the other {missing} files of this model")) if missing else model


def checkpoint_beside(folder: Path, name: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """The checkpoint in a folder whose config is known, None if there is none; with a note if it is broken."""
    try:
        return read_checkpoint(folder, name), ()
    except VramcastError as error:
        return None, (f"the stored weights ({error.what})",)
