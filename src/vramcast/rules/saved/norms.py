"""What normalisations keep, each family's code in its own way."""

from vramcast.domain.family_code import NormCode
from vramcast.domain.norm import Norm, NormKind
from vramcast.rules.saved.ops import FULL, Saved
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes


def normed(tape: Tape, norm: Norm, x: Value, *, rows: int = 1) -> Value:
    """
    The output of a norm that reads `x`, over each of `rows` heads if more than one; what it keeps goes on the tape.

    Formula:  RMS norm, plain: 4·D (the input in FP32) + 4 (1/rms) + s·D (the normed value, if the scale is trained);
              fp32 and one-plus: 4·D for the normed value, 4·D once for 1 + weight; power: 4 more per token
              fused: s·D (the input) + 4 (1/rms)
              layer norm: s·D (the input; in FP32 under autocast) + 8 (mean, 1/std); one-plus: s·D once for 1 + weight
              written out in FP32 (Cohere): 4·2·D (the input less its mean, for the square and for the product)
              + 4 (1/std) + 4·D (the normed value, if the scale is trained) + 4·D once for the cast weight
    Source:   transformers 5.23 modeling_llama.py, modeling_gemma.py, modeling_olmo2.py, modeling_cohere.py,
              modeling_nemotron.py; torch derivatives of native_layer_norm and _fused_rms_norm.
    Ignores:  weights that some RMS norms cast to FP32 (Gemma 4, Helium): 4·D once.
    """
    if x.leaf:
        tape = Tape(tape.sizes)
    if norm.kind is NormKind.LAYER:
        return _layer_norm(tape, norm, x, rows)
    if tape.sizes.fused_norms:
        tape.keep(x, "RMS norm input")
        _statistics(tape, rows)
        return x.like()
    full = x.cast(FULL)
    tape.keep(full, "RMS norm input in FP32")
    _statistics(tape, rows * (2 if norm.code is NormCode.POWER else 1))
    if norm.code is NormCode.PLAIN and norm.affine:
        value = x.like()
        if tape.sizes.trains_weights:
            tape.keep(value, "normed value")
        return value.like(max(x.size, tape.sizes.stream))
    value = full.like()
    if norm.affine:
        if norm.code is NormCode.ONE_PLUS:
            _weight(tape, norm, x, FULL)
        if tape.sizes.trains_weights:
            tape.keep(value, "normed value in FP32")
        value = value.like()
    return value.cast(x.size)


def norm_backward(norm: Norm, sizes: Sizes) -> int:
    """
    Bytes per token of the gradients inside a norm over the residual stream, at the worst moment of its backward.

    Formula:  written out in Python: 5·4·D, the gradient of the scaled input, and those of the square's derivative (the mean's
              share, twice the input, their product); fused: 2·s·D, the gradients that come and go
    Source:   torch derivatives of pow, mean, mul; of native_layer_norm and _fused_rms_norm.
    """
    fused = sizes.fused_norms if norm.kind is not NormKind.LAYER else norm.code is not NormCode.FP32
    itemsize = FULL if norm.kind is NormKind.LAYER and sizes.autocast else sizes.stream
    return (2 * itemsize if fused else 5 * FULL) * norm.width


def _layer_norm(tape: Tape, norm: Norm, x: Value, rows: int) -> Value:
    sizes = tape.sizes
    if norm.code is NormCode.FP32 and norm.affine:
        return _written_out(tape, norm, x, rows)
    one_plus = norm.code is NormCode.ONE_PLUS
    half = sizes.autocast and one_plus  # turns autocast off and casts to its format
    read = x.cast(sizes.compute) if half else x.cast(FULL) if norm.code is NormCode.FP32 or sizes.autocast else x
    tape.keep(read, "layer norm input")
    _statistics(tape, 2 * rows)
    if one_plus:
        _weight(tape, norm, x, sizes.compute if half else sizes.stream)
        if half and norm.bias and sizes.stream != sizes.compute:
            _weight(tape, norm, x, sizes.compute)
    return read.like().cast(x.size) if norm.code is NormCode.FP32 else read.like()


def _written_out(tape: Tape, norm: Norm, x: Value, rows: int) -> Value:
    for op in ("squared", "scaled"):
        tape.keep(x.like(FULL), f"layer norm input less its mean, to be {op}")
    _statistics(tape, rows)
    if tape.sizes.stream != FULL:
        _weight(tape, norm, x, FULL)
    value = x.like(FULL)
    if tape.sizes.trains_weights:
        tape.keep(value, "normed value in FP32")
    return value.like().cast(x.size)


def _statistics(tape: Tape, count: int) -> None:
    tape.note(Saved("norm statistics", f"{FULL}·{count}", FULL * count))


def _weight(tape: Tape, norm: Norm, x: Value, size: int) -> None:
    letter = x.letter if norm.width == x.width else "H"
    tape.note(Saved("the norm's weight, computed anew", f"{size}·{letter}", 0, once=size * norm.width))
