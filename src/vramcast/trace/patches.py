"""Attributes of other people's modules, replaced for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from vramcast.trace.notes import Notes

_ABSENT = object()


class Patches:
    """Replaces attributes, and puts back every one of them, the last first."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._undo: list[tuple[Any, str, Any]] = []
        self._off = 0

    def put(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name` is `value` from now on; where there was none, there will be none again."""
        self._undo.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)

    def answer(self, owner: Any, name: str, function: Callable[..., Any], says: str = "") -> None:
        """
        As `put`; a call is noted: by its name, or by what `says` tells.

        A module that was imported meanwhile may keep the replacement under a name of its own: afterwards it does what the
        real one does.
        """
        said = says or f"{owner.__name__}.{name}"
        real = getattr(owner, name)

        @wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            if self._off:
                return real(*args, **kwargs)
            self._notes.patched(said)
            return function(*args, **kwargs)

        self.put(owner, name, noted)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within, what `answer` replaced does what the real one does."""
        self._off += 1
        try:
            yield
        finally:
            self._off -= 1

    def undo(self) -> None:
        """Put everything back."""
        self._off += 1
        while self._undo:
            owner, name, before = self._undo.pop()
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
