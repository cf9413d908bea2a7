"""Which reader knows which `model_type`."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from vramcast.domain.model import ModelSpec
from vramcast.sources.config import Config

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


@cache
def readers() -> dict[str, Reader]:
    """Every reader by model type; imports the architecture files once."""
    from vramcast.sources import architectures  # noqa: PLC0415  (they import this module)

    for module in iter_modules(architectures.__path__):
        import_module(f"{architectures.__name__}.{module.name}")
    return dict(_readers)
