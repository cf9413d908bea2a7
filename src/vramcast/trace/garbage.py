"""No collection of garbage where there is none: long lists of blocks and events are made, and nothing is thrown away."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage() -> Iterator[None]:
    """Many new objects would make Python look through all of torch's, again and again. Also a decorator."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
