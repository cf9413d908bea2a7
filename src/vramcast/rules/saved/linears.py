"""
What linear layers keep of their inputs, and adapters beside them.

Letters: D hidden, r adapter rank.
"""

from collections.abc import Sequence

from vramcast.rules.saved.ops import Saved
from vramcast.rules.saved.tape import Tape, Value


def linears(tape: Tape, names: Sequence[str], x: Value, outputs: Sequence[tuple[int, str]]) -> tuple[Value, ...]:
    """
    What the linears `names`, which read `x`, keep of it; their outputs have the widths and letters of `outputs`.

    A trained weight keeps its input: x itself if the types agree, else under autocast one cast copy for each linear, for
    autocast caches no activations. A frozen weight keeps nothing, but in 8 bits its input. bitsandbytes answers in its input's
    type.

    Formula:  s·D, once or for each linear (+ `_adapter`)
    Source:   torch derivatives of linear, autocast_mode.cpp; bitsandbytes 0.50 nn/modules.py, autograd/_functions.py (MatMul8bitLt).
    """
    sizes = tape.sizes
    quantized = sizes.quantized
    if sizes.trains_weights:
        if sizes.autocast and x.size != sizes.compute:
            for name in names:
                tape.keep(x.like(sizes.compute), f"input of {name}")
        else:
            tape.keep(x, f"input of {', '.join(names)}")
    elif sizes.eight_bit and not x.leaf:
        tape.keep(x, f"input of {', '.join(names)}", past_hooks=sizes.past_hooks)
    for name in names:
        if name in sizes.adapted:
            _adapter(tape, name, x)
    size = x.size if quantized or not sizes.autocast else sizes.compute
    made = tuple(Value(width, size, letter) for width, letter in outputs)
    for name, value in zip(names, made, strict=False):
        value.leaf = x.leaf and not sizes.trains_weights and name not in sizes.adapted
    return made


def linear(tape: Tape, name: str, x: Value, width: int, letter: str) -> Value:
    """One linear that reads `x`; see `linears`."""
    return linears(tape, (name,), x, ((width, letter),))[0]


def _adapter(tape: Tape, name: str, x: Value) -> None:
    """
    What an adapter keeps: the input of its first matrix, and the r values that its second one reads.

    PEFT casts the input to the adapter's type (not beside a 4-bit layer under autocast), drops of it (with no mask to keep
    where the input needs no gradient), and autocast casts once more: each of these makes a copy of its own, the last of which
    is kept.

    Formula:  s·D, if cast or dropped, else shared with the layer's input; + 1·D (dropout mask) + s·r
    Source:   PEFT 0.21 tuners/lora/layer.py (_cast_input_dtype), bnb.py (Linear4bit); torch derivatives of dropout.
    Ignores:  DoRA, which keeps the input once more and the adapter's result.
    """
    sizes = tape.sizes
    read = x if sizes.quantized and sizes.autocast else x.cast(sizes.adapter)
    if sizes.adapter_dropout:
        if not x.leaf:
            tape.note(Saved("adapter dropout masks", x.letter, x.width))
        read = read.like()
    if sizes.autocast:
        read = read.cast(sizes.compute)
    tape.keep(read, f"adapter input of {name}")
    tape.keep(Value(sizes.rank, read.size, "r"), "input of the adapters' second matrix")
