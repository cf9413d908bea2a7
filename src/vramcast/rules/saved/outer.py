"""What is kept outside the blocks."""

from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Method, Recompute, TrainRun
from vramcast.rules.saved.linears import linear
from vramcast.rules.saved.norms import normed
from vramcast.rules.saved.ops import Saved
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

SCALED_EMBEDDINGS = frozenset(
    {
        "falcon_h1",
        "granite",
        "granite_swa",
        "granitemoe",
        "granitemoe_swa",
        "granitemoehybrid",
        "granitemoeshared",
        "hyperclovax",
    }
)


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
    read = normed(tape, model.final_norm, stream) if model.final_norm else stream
    if not own_head:
        linear(tape, "lm_head", read, 1, "V")
    return (*entrance_saved(model, sizes, leaf=leaf), *tape.cut())


def entrance_saved(model: ModelSpec, sizes: Sizes, *, leaf: bool) -> tuple[Saved, ...]:
    """
    What the norm and dropout between the embedding and the first block keep, until the last of the backward pass.

    Formula:  1·D (dropout mask) + the norm as in `norms.py`; nothing if the embedding gives what needs no gradient (`leaf`)
    """
    tape = Tape(sizes._replace(adapted=frozenset()))
    if model.embedding_norm and not leaf:
        normed(tape, model.embedding_norm, Value(sizes.hidden, sizes.stream, "D"))
    if model.dropout.embedding > 0 and not leaf:
        tape.note(Saved("embedding dropout mask", "D", sizes.hidden))
    return tape.cut()


def made_leaf(model: ModelSpec, run: TrainRun, sizes: Sizes) -> tuple[Saved, ...]:
    """
    What a frozen embedding gives, where it is made to require gradients and is not itself what the first block reads.

    Autograd holds such a leaf until its gradient is there.

    Formula:  s·D
    Source:   PEFT and transformers 5.23 (enable_input_require_grads); modeling_gpt2.py, modeling_granite.py.
    """
    changed = model.positions or model.embedding_norm or model.model_type in SCALED_EMBEDDINGS
    if run.method is Method.FULL or run.recompute is not Recompute.FULL or not changed:
        return ()
    return (Saved("embedding, made to require gradients", f"{sizes.weight}·D", sizes.weight * sizes.hidden),)


def hidden_itemsize(model: ModelSpec, sizes: Sizes) -> int:
    """Bytes an element of what the final norm gives."""
    stream = Value(sizes.hidden, sizes.stream, "D")
    return normed(Tape(sizes), model.final_norm, stream).size if model.final_norm else stream.size
