"""What is kept outside the blocks."""

from vramcast.domain.model import ModelSpec
from vramcast.rules.saved.linears import linear
from vramcast.rules.saved.norms import normed
from vramcast.rules.saved.ops import Saved
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes


def outer_saved(model: ModelSpec, sizes: Sizes, *, own_head: bool, leaf: bool = False) -> tuple[Saved, ...]:
    """
    What the norm and dropout after the embedding, the final norm and the output projection keep.

    `own_head` says that the loss runs the projection itself, and keeps its input itself; `leaf` that what the embedding gives
    needs no gradient.

    Formula:  1·D (dropout mask) + norms as in `norms.py` + s·D (the head's input, if it is trained)
    Ignores:  projections between hidden and embedding size, layers that only some architectures have.
    """
    tape = Tape(sizes._replace(adapted=frozenset()))
    stream = Value(sizes.hidden, sizes.stream, "D")
    if model.embedding_norm and not leaf:
        normed(tape, model.embedding_norm, stream.like())
    if model.dropout.embedding > 0 and not leaf:
        tape.note(Saved("embedding dropout mask", "D", sizes.hidden))
    read = normed(tape, model.final_norm, stream) if model.final_norm else stream
    if not own_head:
        linear(tape, "lm_head", read, 1, "V")
    return tape.cut()


def hidden_itemsize(model: ModelSpec, sizes: Sizes) -> int:
    """Bytes an element of what the final norm gives."""
    stream = Value(sizes.hidden, sizes.stream, "D")
    return normed(Tape(sizes), model.final_norm, stream).size if model.final_norm else stream.size
