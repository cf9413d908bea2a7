"""Pickles of plain containers, numbers and text; anything else in them is refused before it runs."""

import io
import pickle
from pathlib import Path
from typing import Any

from vramcast.domain.errors import InputError
from vramcast.units import GIB, format_bytes

LARGEST = 4 * GIB


class _Plain(pickle.Unpickler):
    """Finds no classes and no functions, so a file can make dicts, lists, tuples, sets, numbers and text alone."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def load_plain(path: Path) -> Any:
    """
    What `path` holds.

    Raises:
        InputError: the file is missing, too large, damaged, or wants to load code.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise InputError(f"{path}: {format_bytes(size)} is too large", "record fewer events: max_entries=100000")
        return loads_plain(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}", "give a file of torch.cuda.memory._dump_snapshot"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path}: not a plain pickle: {error}", "give a file of torch.cuda.memory._dump_snapshot"
        ) from None


def loads_plain(data: bytes) -> Any:
    """
    What `data` holds.

    Raises:
        ValueError: it is damaged, or wants to load code.
    """
    try:
        return _Plain(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, MemoryError, RecursionError, AttributeError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    except (ImportError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"damaged: {error}") from None
