"""Which reader knows which `model_type`."""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from vramcast.domain.model import ModelSpec
from vramcast.sources.config import Config
from vramcast.sources.homes import TYPES

ARCHITECTURES = "vramcast.sources.architectures"

Reader = Callable[[Config], ModelSpec]

_readers: dict[str, Reader] = {}


def reads(*model_types: str) -> Callable[[Reader], Reader]:
    """Register a function as the reader of these model types."""

    def register(reader: Reader) -> Reader:
        for model_type in model_types:
            assert model_type not in _readers, f"two readers for {model_type}"
            _readers[model_type] = reader
        return reader

    return register


def reader_of(model_type: str) -> Reader | None:
    """The reader of this model type, None if there is none; imports the one file that holds it."""
    home = _homes().get(model_type)
    if home is not None:
        import_module(f"{ARCHITECTURES}.{home}")
    return _readers.get(model_type)


@cache
def _homes() -> dict[str, str]:
    return {model_type: home for home, model_types in TYPES.items() for model_type in model_types}


@cache
def readers() -> dict[str, Reader]:
    """Every reader by model type; imports all architecture files once."""
    for home in TYPES:
        import_module(f"{ARCHITECTURES}.{home}")
    return dict(_readers)
