"""A whole block in forward order, as segments."""

from dataclasses import replace
from functools import lru_cache

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.family_code import Referred
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.norm import Norm
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.weights import WeightKind
from vramcast.rules.saved.attention import attention, attention_segment
from vramcast.rules.saved.feed_forward import dense, dense_segment
from vramcast.rules.saved.mixture import mixture, mixture_segments
from vramcast.rules.saved.norms import normed
from vramcast.rules.saved.ops import Saved, Segment
from vramcast.rules.saved.recurrent import recurrent, recurrent_segment
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

HINT = "its weights and cache can be forecast: --method serve"


@lru_cache(maxsize=1024)
def block_segments(layer: Layer, sizes: Sizes, masked: bool, recomputed: bool, leaf: bool) -> tuple[Segment, ...]:
    """
    The segments of one block: norms with the mixer, norms with the feed-forward part.

    A norm belongs to the part that it stands before, or after (`Norm.after`). Parallel parts read one input; each of two
    mixers reads its own scaled copy of it. A recomputed block's input is kept apart, so nothing counts it again. Where the
    input needs no gradient (`leaf`), what reads it alone keeps nothing.

    Ignores: layer scales and other single factors of `Layer.extra`.

    Raises:
        UnsupportedError: no rule says what a part of the block keeps.
    """
    _refuse(layer)
    tape = Tape(sizes)
    x = Value(sizes.hidden, sizes.stream, "D")
    x.leaf = leaf
    if recomputed:
        tape.hold(x)
    norms = list(layer.norms)
    read = _before(tape, norms, x)
    segments: list[Segment] = []
    mixed: list[Value] = []  # what the mixers read and give
    for mixer in layer.mixers:
        out, parts = _mixer_part(tape, norms, mixer, read.like() if layer.beside else read, masked=masked)
        mixed = [read, out]
        segments.extend(parts)
    if layer.ffn is not None:
        read = _ffn_input(tape, norms, layer, x, mixed) or read
        segments.extend(_ffn_part(tape, norms, layer, layer.ffn, read, mixed))
    return tuple(segments)


def _mixer_part(
    tape: Tape, norms: list[Norm], mixer: Mixer, x: Value, *, masked: bool
) -> tuple[Value, tuple[Segment, ...]]:
    """The output of a mixer that reads `x`, and its segments."""
    out = _mixed(tape, mixer, x, masked=masked)
    saved, behind = tape.cut(), _after(tape, norms, out)
    part = _mixer_segment(mixer, tape.sizes, saved, masked=masked)
    return out, (part, *_followers(part, behind, tape.sizes))


def _ffn_input(tape: Tape, norms: list[Norm], layer: Layer, x: Value, mixed: list[Value]) -> Value | None:
    """What the feed-forward part reads, if it is not what the mixer read."""
    if layer.parallel:
        return _before(tape, norms, x) if norms and not norms[0].after else None
    if not mixed:
        return None
    stream = x.like()
    stream.leaf = x.leaf and mixed[1].leaf
    return _before(tape, norms, stream)


def _ffn_part(
    tape: Tape, norms: list[Norm], layer: Layer, ffn: Dense | MixtureOfExperts, x: Value, mixed: list[Value]
) -> tuple[Segment, ...]:
    """The segments of the feed-forward part, which reads `x`; beside its last one lies what the block still refers to."""
    out, parts = _fed_forward(tape, ffn, x)
    saved, behind = tape.cut(), _after(tape, norms, out)
    *before, last = _ffn_segments(ffn, tape.sizes, (*parts, saved), out)
    beside = _referred(tape, layer, mixed)
    last = replace(
        last,
        forward=last.forward + beside,
        forward_adapter=last.forward_adapter + beside,
        forward_sum=last.forward_sum + beside,
        rerun=last.rerun or bool(behind),
        followed=bool(behind),
    )
    return (*before, last, *_followers(last, behind, tape.sizes))


def _referred(tape: Tape, layer: Layer, mixed: list[Value]) -> int:
    """Bytes per token of what the mixer read and gave, where the block's code refers to it while the feed-forward part runs."""
    if not mixed:
        return 0
    read, out = mixed
    if layer.parallel:
        return tape.sizes.branch * tape.sizes.hidden
    match layer.referred:
        case Referred.NOTHING:
            return 0
        case Referred.OUTPUT:
            return tape.unheld(out)
        case Referred.INPUT:
            return tape.unheld(out) + tape.unheld(read)


def _before(tape: Tape, norms: list[Norm], x: Value) -> Value:
    """What the next part reads: `x` through the next norm, if that stands before it."""
    if not norms or norms[0].after:
        return x
    norm = norms.pop(0)
    read = x if norm.width == tape.sizes.hidden else Value(norm.width, x.size, "D")
    return normed(tape, norm, read)


def _after(tape: Tape, norms: list[Norm], out: Value) -> tuple[Saved, ...]:
    """What is kept behind a part: its norm, dropout's mask."""
    if norms and norms[0].after:
        out = normed(tape, norms.pop(0), out)
    if tape.sizes.dropout.residual > 0 and not out.leaf:
        tape.note(Saved("residual dropout mask", "D", tape.sizes.hidden))
    return tape.cut()


def _followers(part: Segment, behind: tuple[Saved, ...], sizes: Sizes) -> tuple[Segment, ...]:
    """What was kept behind a part, as a segment of its own: it is gone when the part's backward begins."""
    if not behind:
        return ()
    width, name = sizes.stream * sizes.hidden, "behind its output"
    return (
        Segment(
            name=part.name,
            saved=behind,
            output=width,
            output_name=name,
            inner=width,
            inner_name=name,
            rerun=False,
            followed=False,
        ),
    )


def _mixed(tape: Tape, mixer: Mixer, x: Value, *, masked: bool) -> Value:
    match mixer:
        case Attention() | LatentAttention():
            return attention(tape, mixer, x, masked=masked)
        case StateSpace() | LinearAttention():
            return recurrent(tape, mixer, x)
        case CompressedAttention():
            raise UnsupportedError("no rule says what compressed attention keeps for its backward pass", HINT)


def _mixer_segment(mixer: Mixer, sizes: Sizes, saved: tuple[Saved, ...], *, masked: bool) -> Segment:
    if isinstance(mixer, Attention | LatentAttention):
        return attention_segment(mixer, sizes, saved, masked=masked)
    assert not isinstance(mixer, CompressedAttention)
    return recurrent_segment(mixer, sizes, saved)


def _fed_forward(tape: Tape, ffn: Dense | MixtureOfExperts, x: Value) -> tuple[Value, tuple[tuple[Saved, ...], ...]]:
    """The output, and what all segments but the last keep; that of the last is on the tape."""
    return (dense(tape, ffn, x), ()) if isinstance(ffn, Dense) else mixture(tape, ffn, x)


def _ffn_segments(
    ffn: Dense | MixtureOfExperts, sizes: Sizes, kept: tuple[tuple[Saved, ...], ...], out: Value
) -> tuple[Segment, ...]:
    if isinstance(ffn, Dense):
        return (dense_segment(ffn, sizes, kept[0], out),)
    return mixture_segments(ffn, sizes, kept)


def _refuse(layer: Layer) -> None:
    """Raise UnsupportedError for what no rule covers, so that nothing is left out in silence."""
    if layer.streams > 1:
        raise UnsupportedError("no rule says what hyper-connections keep for their backward pass", HINT)
    ffn = layer.ffn
    if isinstance(ffn, MixtureOfExperts) and (ffn.latent or ffn.zero_experts):
        kind = "in a latent space" if ffn.latent else "that hand their input through"
        raise UnsupportedError(f"no rule says what experts {kind} keep for their backward pass", HINT)
    for mixer in layer.mixers:
        if any(w.kind is WeightKind.EXPERTS for w in mixer.weights(1)):
            raise UnsupportedError("no rule says what attention made of experts keeps for its backward pass", HINT)
    if any(w.kind is WeightKind.LINEAR for w in layer.extra):
        raise UnsupportedError("no rule says what this architecture's own layers between blocks keep", HINT)
