"""
A model on the Hugging Face hub: its config and the headers of its safetensors files, never the weights.

`HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and `HF_HOME` mean what they mean to huggingface_hub. What is in its cache
already, weights included, is read from there.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vramcast.domain.errors import InputError, UnsupportedError, VramcastError, one_line
from vramcast.domain.model import ModelSpec
from vramcast.sources.checkpoint import Checkpoint, from_headers
from vramcast.sources.folder import checkpoint_beside
from vramcast.sources.from_config import CONFIG, from_config
from vramcast.sources.json_file import LARGEST_CONFIG, read_json
from vramcast.sources.safetensors import Header, checked_tensors
from vramcast.units import format_bytes

if TYPE_CHECKING:
    from huggingface_hub import SafetensorsFileMetadata

_ELSEWHERE = "a catalog name (vramcast models) or a folder needs no network"


def read_hub_model(repo: str, revision: str | None = None, *, offline: bool = False) -> ModelSpec:
    """
    The model `org/name` at a revision (the default branch if None).

    `offline` answers from the cache alone. Where headers cannot be had, the config answers, and a note says so.

    Raises:
        InputError: no such model or revision, gated, not reachable, not in the cache, or not a language model.
        UnsupportedError: no `config.json`, or no closed form knows its `model_type`.
    """
    offline = _prepare(offline)
    name = f"{repo}@{revision}" if revision else repo
    trouble = None if offline else _trouble(repo, revision)
    offline = offline or trouble is not None
    config = _config_file(repo, revision, offline, trouble)
    data = read_json(config, name)
    checkpoint, notes = checkpoint_beside(config.parent, name)
    if not offline and not (checkpoint and checkpoint.complete):
        checkpoint, notes = _remote_checkpoint(repo, revision, name)
    model = from_config(data, name, checkpoint)
    return replace(model, notes=(*model.notes, *notes))


def hub_config(repo: str, revision: str | None = None, *, offline: bool = False) -> Path:
    """
    The `config.json` of `org/name` in the local cache, downloaded if need be.

    Raises:
        InputError, UnsupportedError: as `read_hub_model`.
    """
    offline = _prepare(offline)
    trouble = None if offline else _trouble(repo, revision)
    return _config_file(repo, revision, offline or trouble is not None, trouble)


# Private functions


def _prepare(offline: bool) -> bool:
    """Import huggingface_hub quiet and without telemetry, unless the user chose otherwise; whether to stay offline."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import constants

    return offline or constants.HF_HUB_OFFLINE


def _trouble(repo: str, revision: str | None) -> VramcastError | None:
    """
    Ask once for the config's metadata: None if the hub has it, the error to tell if the hub cannot be asked.

    huggingface_hub's own download would try for half a minute before it gave up.

    Raises:
        InputError: the hub says that there is no such model or revision, that it is gated, or that the config is huge.
        UnsupportedError: the hub says that the model has no config.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        size = get_hf_file_metadata(hf_hub_url(repo, CONFIG, revision=revision)).size or 0
    except Exception as error:
        told = _translated(error, repo, revision)
        refusals = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError)
        if isinstance(error, (*refusals, errors.HFValidationError)):
            raise told from error
        return told
    if size > LARGEST_CONFIG:
        raise InputError(f"{repo}: a {CONFIG} of {format_bytes(size)} is no language model's")
    return None


def _config_file(repo: str, revision: str | None, offline: bool, trouble: VramcastError | None) -> Path:
    """The config in the cache, downloaded if need be; `trouble` is what to say when it is not there."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repo, CONFIG, revision=revision, local_files_only=offline))
    except errors.LocalEntryNotFoundError as error:
        absent = InputError(f"{repo}: not in the local cache, and the hub is switched off", _ELSEWHERE)
        raise trouble or absent from error
    except Exception as error:  # whatever its HTTP client of the day raises
        raise _translated(error, repo, revision) from error


def _translated(error: Exception, repo: str, revision: str | None) -> VramcastError:
    from huggingface_hub import constants, errors

    match error:  # subclasses first
        case errors.GatedRepoError():
            return InputError(
                f"{repo} is gated: its owners must let you in",
                f"accept their terms at {constants.ENDPOINT}/{repo}, then set HF_TOKEN",
            )
        case errors.RepositoryNotFoundError():
            return InputError(f"{repo}: not on {constants.ENDPOINT}, or private", "check the spelling, or set HF_TOKEN")
        case errors.RevisionNotFoundError():
            return InputError(f"{repo} has no revision {revision}")
        case errors.EntryNotFoundError():
            return UnsupportedError(f"{repo} has no {CONFIG}: not a language model in transformers' layout")
        case errors.HFValidationError():
            return InputError(f"{repo} is no hub id", "a hub id looks like org/name or org/name@revision")
        case errors.HfHubHTTPError():
            return InputError(f"{repo}: {constants.ENDPOINT} refused: {_first_line(error)}", _ELSEWHERE)
        case _:
            return InputError(f"{repo}: {constants.ENDPOINT} does not answer: {_first_line(error)}", _ELSEWHERE)


def _remote_checkpoint(repo: str, revision: str | None, name: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """What the hub's safetensors headers say, or None and a note why they say nothing."""
    from huggingface_hub import HfApi, errors

    try:
        files = HfApi().get_safetensors_metadata(repo, revision=revision).files_metadata
        return from_headers([(file, _header(metadata, file)) for file, metadata in sorted(files.items())], name), ()
    except errors.NotASafetensorsRepoError:
        return None, ("the stored weights (the model has no safetensors files)",)
    except Exception as error:  # noqa: BLE001  (the config is known: nothing that goes wrong here may stand in the way)
        return None, (f"the stored weights (their headers could not be read: {_first_line(error)})",)


def _header(metadata: "SafetensorsFileMetadata", file: str) -> Header:
    tensors = metadata.tensors.items()
    return Header(tensors=checked_tensors(((key, t.dtype, t.shape, t.data_offsets) for key, t in tensors), file))


def _first_line(error: Exception) -> str:
    return one_line(next(iter(str(error).splitlines()), "")[:200]) or type(error).__name__
