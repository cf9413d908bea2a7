"""A line on stderr that says what is under way, gone when it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown_progress(what: str) -> Iterator[Callable[[str], None] | None]:
    """Say `what` and each phase of it on a terminal; nothing where `what` is empty or nobody watches."""
    if not what or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda phase: status.update(f"{what}: {phase}")
