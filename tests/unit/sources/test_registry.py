"""Which file reads which model type."""

from importlib import import_module
from pkgutil import iter_modules

from vramcast.sources import architectures, registry
from vramcast.sources.homes import TYPES
from vramcast.sources.registry import reader_of, readers


def test_every_architecture_file_is_listed_with_its_types() -> None:
    """The list of homes names every file, and exactly the model types that the file registers."""
    files = {module.name for module in iter_modules(architectures.__path__)}
    for file in files:
        import_module(f"{registry.ARCHITECTURES}.{file}")
    registered: dict[str, set[str]] = {file: set() for file in files}
    for model_type, reader in readers().items():
        registered[reader.__module__.rsplit(".", 1)[1]].add(model_type)
    assert registered == {file: set(model_types) for file, model_types in TYPES.items()}


def test_one_reader_and_none() -> None:
    """A known model type has a reader, an unknown one has none."""
    assert reader_of("llama") is readers()["llama"]
    assert reader_of("no-such-type") is None
