"""
A forward pass on paper: values that know whose storage they live in, and what backward keeps of them.

An operator that keeps a value twice, or a view of one that is kept, costs nothing more.
"""

from vramcast.rules.saved.ops import Saved
from vramcast.rules.sizes import Sizes


class Value:
    """
    A tensor of `width` elements per token and `pairs` elements per token pair, of `size` bytes each.

    A view shares the storage of its `root`, which stays alive as a whole. `letter` writes the width in a formula. A `leaf` needs
    no gradient, nor does what is made of it alone: nothing is kept for that.
    """

    __slots__ = ("leaf", "letter", "pairs", "root", "size", "width")

    def __init__(self, width: int, size: int, letter: str, pairs: int = 0, root: "Value | None" = None) -> None:
        self.width = width
        self.size = size
        self.letter = letter
        self.pairs = pairs
        self.leaf = False
        self.root: Value = self if root is None else root.root

    def like(self, size: int | None = None) -> "Value":
        """A new tensor of the same shape, of `size` bytes an element if given."""
        return self._leaf(Value(self.width, self.size if size is None else size, self.letter, self.pairs))

    def cast(self, size: int) -> "Value":
        """The same tensor where it has `size` bytes an element already, else a copy."""
        return self if self.size == size else self.like(size)

    def view(self, width: int, letter: str) -> "Value":
        """A part of this tensor that shares its storage."""
        return self._leaf(Value(width, self.size, letter, root=self))

    def _leaf(self, made: "Value") -> "Value":
        made.leaf = self.leaf
        return made


class Tape:
    """Collects what the operators of one block keep, in forward order."""

    __slots__ = ("_alive", "_past_hooks", "_saved", "sizes")

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._alive: set[Value] = set()
        self._past_hooks: set[Value] = set()
        self._saved: list[Saved] = []

    def hold(self, value: Value) -> None:
        """Something outside the block keeps this value alive anyway."""
        self._alive.add(value.root)

    def unheld(self, value: Value) -> int:
        """Bytes per token of a value that nothing keeps yet."""
        root = value.root
        return 0 if root in self._alive else root.size * root.width

    def keep(self, value: Value, op: str, *, core: bool = False, past_hooks: bool = False) -> None:
        """An operator saves this value: bytes of its storage, if nothing keeps that yet, in sight of checkpointing or not."""
        root, alive = value.root, self._past_hooks if past_hooks else self._alive
        if root in alive:
            return
        alive.add(root)
        per_token, per_pair = root.size * root.width, root.size * root.pairs
        letters = root.letter if not per_pair else f"{root.letter}·(T + 1)" if per_token else f"{root.letter}·T"
        self._saved.append(Saved(op, f"{root.size}·{letters}", per_token, per_pair, core, past_hooks=past_hooks))

    def note(self, saved: Saved) -> None:
        """Something that is no single value: statistics, masks, indices."""
        self._saved.append(saved)

    def cut(self) -> tuple[Saved, ...]:
        """What was kept since the last cut."""
        saved = tuple(self._saved)
        self._saved.clear()
        return saved
