"""What a new block is, from what the program is about when it is born."""

from vramcast.domain.forecast import Category
from vramcast.trace.places import Place


class Kinds:
    """Everything is temporary until it turns out to be something else, except around the output projection and the loss."""

    def __init__(self) -> None:
        self._logits = False
        self._within: frozenset[str] | None = None

    def begin_logits(self, within: frozenset[str] | None = None) -> None:
        """From here on blocks are logits and what becomes of them; `within`: until a module elsewhere is at work."""
        self._logits, self._within = True, within

    def end_logits(self) -> None:
        """The loss is there."""
        self._logits = False

    def of(self, place: Place) -> Category:
        """What a block is that is born at `place`."""
        if not self._logits:
            return Category.TEMPORARY
        if self._within is not None and place.path not in self._within:
            self._logits = False
            return Category.TEMPORARY
        return Category.LOGITS
