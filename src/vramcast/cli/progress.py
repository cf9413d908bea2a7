"""A line on stderr that says what is under way, gone when it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 2.0  # seconds in which nothing is said


@contextmanager
def shown_progress(what: str) -> Iterator[Callable[[str], None] | None]:
    """Say `what` and each phase of it on a terminal, if it takes long; nothing where `what` is empty or nobody watches."""
    if not what or not sys.stderr.isatty():
        yield None
        return
    line = _Line(what)
    timer = Timer(PATIENCE, line.show)
    timer.daemon = True
    timer.start()
    try:
        yield line.enter
    finally:
        timer.cancel()
        line.remove()


class _Line:
    """A spinner, what is under way, and for how long."""

    def __init__(self, what: str) -> None:
        self._what = self._text = what
        self._began = monotonic()
        self._lock = Lock()
        self._bar: Progress | None = None
        self._over = False

    def show(self) -> None:
        """Put the line on the terminal, unless the work is over."""
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._over:
                return
            words = TextColumn("{task.description}", markup=False)
            console = Console(stderr=True)
            self._bar = Progress(SpinnerColumn(), words, TimeElapsedColumn(), console=console, transient=True)
            task = self._bar.add_task(self._text, total=None)
            self._bar.tasks[task].start_time = self._began
            self._bar.start()

    def enter(self, phase: str) -> None:
        """Another phase begins."""
        with self._lock:
            self._text = f"{self._what}: {phase}"
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], description=self._text)

    def remove(self) -> None:
        """Leave the terminal as it was, the cursor shown."""
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()
