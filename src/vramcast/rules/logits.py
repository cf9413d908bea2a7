"""
Logits and loss: often the largest tensors of a step.

Letters: B micro-batch, T tokens per sequence, n = B · T, V vocabulary, D hidden, s and w bytes an element.
"""

from typing import NamedTuple

from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.run import Loss

FP32 = 4
TILE_TOKENS = 4096  # tokens in a tile of TRL's chunked loss
TILE_VOCAB = 32768  # vocabulary entries in a tile of TRL's chunked loss
SAVED_BY_CHUNKED = 4 + 8 + 2 * 8  # bytes a token that TRL's loss keeps: log-sum-exp, label, where it was gathered


class Head(NamedTuple):
    """
    What the loss rules need.

    Attributes:
        tokens, vocab, hidden: n = B · T, V, D.
        itemsize: s, bytes an element of what the projection writes; stream: w, those of the hidden state and of a trained
            projection; weight: those of the projection, trained or not.
        trained: the projection gets a gradient; held: the caller keeps `outputs.logits` during backward.
        upcast, capped: the model itself turns its logits to FP32, or caps them with a tanh, which backward needs.
    """

    tokens: int
    vocab: int
    hidden: int
    itemsize: int
    stream: int
    weight: int
    trained: bool
    held: bool
    upcast: bool
    capped: bool

    @property
    def shown(self) -> int:
        """Bytes an element of the logits as the loss sees them."""
        return FP32 if self.upcast else self.itemsize


def forward_logits(head: Head, loss: Loss) -> Term:
    """
    What logits and loss hold at the end of the forward pass.

    Formula:  stock: n·V·(s + 4 + 4): logits, their FP32 copy (if s < 4), log-softmax (+ s for the tanh of capped logits);
              chunked: 2·w·n·D (hidden state, gathered) and one tile
              fused: 2·w·n·D (hidden state, its gradient), w·V·D (the projection's gradient, if trained) and one chunk
    Source:   transformers 5.23 loss_utils.py, torch cross_entropy; TRL 1.16 kernels/chunked_logprob.py;
              Liger ops/fused_linear_cross_entropy.py.
    """
    s = head.shown
    match loss:
        case Loss.STOCK:
            copies = [("logits", s), ("FP32 copy", FP32 if s < FP32 else 0), ("log-softmax", FP32), _tanh(head)]
            return _term(Phase.FORWARD, "logits, FP32 copy, log-softmax", copies, head)
        case Loss.CHUNKED:
            return _tile(Phase.FORWARD, head)
        case Loss.FUSED_LINEAR:
            return _chunk(head)


def saved_logits(head: Head, loss: Loss) -> int:
    """Bytes that the loss keeps from its forward to its backward, logits still referenced by the caller included."""
    n, v = head.tokens, head.vocab
    match loss:
        case Loss.STOCK:
            return n * v * (FP32 + _tanh(head)[1] + _held(head)[1])
        case Loss.CHUNKED:
            return head.stream * n * head.hidden + SAVED_BY_CHUNKED * n
        case Loss.FUSED_LINEAR:
            return head.stream * (n * head.hidden + (v * head.hidden if head.trained else 0))


def backward_logits(head: Head, loss: Loss) -> Term:
    """
    What logits and loss hold at the worst moment of their backward.

    Formula:  stock: n·V·(4 + 4 + 4): log-softmax, gradient of the negative log-likelihood, gradient of log-softmax
              (+ s while the caller holds the logits, + s for the tanh of capped ones)
              chunked: w·n·D + one tile + (4 + w)·n·D (+ (4 + w)·V·D if trained): gathered hidden state, FP32 gradients
              and their casts (none if w = 4)
              fused: the input's (and projection's) gradient, made in the forward pass
    Source:   torch Loss.cu (nll_loss_backward), SoftMax.cu; TRL 1.16 kernels/chunked_logprob.py; Liger.
    """
    match loss:
        case Loss.STOCK:
            copies = [("log-softmax", FP32), ("gradient of the loss", FP32), ("gradient of log-softmax", FP32)]
            copies += [_held(head), _tanh(head)]
            return _term(Phase.BACKWARD, "log-softmax and two gradients", copies, head)
        case Loss.CHUNKED:
            return _tile(Phase.BACKWARD, head)
        case Loss.FUSED_LINEAR:
            return _kept_gradients(head)


def held_logits(head: Head, loss: Loss) -> Term | None:
    """The logits that the caller of the model still references while the blocks run backward: s·n·V."""
    if loss is not Loss.STOCK or not head.held:
        return None
    return _term(Phase.BACKWARD, "logits, still referenced", [_held(head)], head)


def _held(head: Head) -> tuple[str, int]:
    return "logits, still referenced", head.shown if head.held else 0


def _tanh(head: Head) -> tuple[str, int]:
    return "tanh of the capped logits", head.shown if head.capped else 0


def projection_backward(head: Head, loss: Loss) -> Term | None:
    """
    The output projection's own backward: the logits' gradient in the compute type and the hidden state's gradient.

    Formula:  s·n·V + s·n·D (+ logits that the caller holds); nothing where the loss has done it already
    Source:   torch derivatives of linear.
    Ignores:  the weight's gradient, which is among the gradients.
    """
    if loss is not Loss.STOCK:
        return None
    s, held = head.itemsize, _held(head)
    term = _term(Phase.BACKWARD, "gradient of the logits", [("gradient of the logits", s), held], head)
    hidden = Part("gradient of the hidden state", f"{s}·n·D", s * head.tokens * head.hidden)
    return Term(
        bytes=term.bytes + hidden.bytes,
        category=term.category,
        label=term.label,
        phase=term.phase,
        formula=f"({s + held[1]})·n·V + {s}·n·D",
        values=(*term.values, ("D", head.hidden)),
        source=term.source,
        parts=(*term.parts, hidden),
    )


def _term(phase: Phase, label: str, copies: list[tuple[str, int]], head: Head) -> Term:
    kept = [(name, size) for name, size in copies if size]
    numel = head.tokens * head.vocab
    return Term(
        bytes=numel * sum(size for _, size in kept),
        category=Category.LOGITS,
        label=label,
        phase=phase,
        formula=f"({' + '.join(str(size) for _, size in kept)})·n·V",
        values=(("n", head.tokens), ("V", head.vocab)),
        source="transformers 5.23 loss_utils.py; torch SoftMax.cu, Loss.cu",
        parts=tuple(Part(name, f"{size}·n·V", size * numel) for name, size in kept),
    )


def _tile(phase: Phase, head: Head) -> Term:
    """
    TRL's loss: the hidden states of the tokens that have a label, one tile, what autocast makes of its factors, statistics.

    Backward adds FP32 gradients, and their casts to half-precision tensors.
    """
    n, w, hidden = head.tokens, head.stream, head.hidden
    tile = min(n, TILE_TOKENS) * TILE_VOCAB * head.itemsize
    parts = [Part("one tile of logits", "s·min(n, 4096)·32768", tile), Part("statistics", "8·4·n", 8 * FP32 * n)]
    if w != head.itemsize:
        rows = head.itemsize * min(n, TILE_TOKENS) * hidden
        parts.append(Part("the tile's hidden states, cast", "s·min(n, 4096)·D", rows))
    if head.weight != head.itemsize:
        columns = head.itemsize * min(head.vocab, TILE_VOCAB) * hidden
        parts.append(Part("the tile's part of the projection, cast", "s·min(V, 32768)·D", columns))
    if phase is Phase.FORWARD:
        parts.insert(0, Part("hidden state, and gathered", "2·w·n·D", 2 * w * n * hidden))
    else:
        parts.insert(0, Part("gathered hidden state", "w·n·D", w * n * hidden))
        size = FP32 + (w if w < FP32 else 0)
        both = " and its cast" if size > FP32 else ""
        parts.append(Part(f"FP32 gradient of the hidden state{both}", f"{size}·n·D", size * n * hidden))
        if head.trained:
            whole = size * head.vocab * hidden
            parts.append(Part(f"FP32 gradient of the projection{both}", f"{size}·V·D", whole))
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.LOGITS,
        label="chunked loss",
        phase=phase,
        formula=" + ".join(part.formula for part in parts),
        values=(("w", w), ("n", n), ("D", hidden), ("s", head.itemsize), ("V", head.vocab)),
        source="TRL 1.16 kernels/chunked_logprob.py",
        parts=tuple(parts),
    )


def _chunk(head: Head) -> Term:
    """
    Liger's loss while it runs: the gradients that it keeps, and what one chunk of nextpow2(⌈n / ⌈V/D⌉⌉) tokens needs.

    Formula:  2·s·chunk·V (logits, those of the chunk before still there), or s·chunk·V + the chunk's share of a trained
              projection's gradient: (s + 4)·V·D where it is made in half precision and added in FP32, 4·V·D in FP32, none
              where half-precision factors are added to an FP32 gradient by the product itself
    """
    kept = _kept_gradients(head)
    s, vocab = head.itemsize, head.vocab
    tokens = min(head.tokens, 1 << (-(-head.tokens // -(-vocab // head.hidden)) - 1).bit_length())
    logits = s * tokens * vocab
    parts = [Part("hidden state", "w·n·D", head.stream * head.tokens * head.hidden)]
    parts.append(Part("logits of one chunk", "s·chunk·V", logits))
    share = s + FP32 if head.weight < FP32 else FP32 if s == FP32 else 0
    added = share * vocab * head.hidden if head.trained else 0
    if head.trained and head.weight != s:
        parts.append(Part("the transposed projection, cast anew for each product", "s·V·D", s * vocab * head.hidden))
    before = logits if tokens < head.tokens else 0
    if added > before:
        label = "one chunk's share of the projection's gradient"
        formula, label = ("(s + 4)·V·D", f"{label}, and its FP32 copy") if s < FP32 else ("4·V·D", label)
        parts.append(Part(label, formula, added))
    elif before:
        parts.append(Part("logits of the chunk before", "s·chunk·V", before))
    return Term(
        bytes=kept.bytes + sum(part.bytes for part in parts),
        category=Category.LOGITS,
        label="fused linear cross-entropy",
        phase=Phase.FORWARD,
        formula=" + ".join((kept.formula, *(part.formula for part in parts))),
        values=(*kept.values, ("s", s), ("chunk", tokens)),
        source=kept.source,
        parts=(*kept.parts, *parts),
    )


def _kept_gradients(head: Head) -> Term:
    w = head.stream
    parts = [Part("gradient of the hidden state", "w·n·D", w * head.tokens * head.hidden)]
    if head.trained:
        parts.append(Part("gradient of the projection", "w·V·D", w * head.vocab * head.hidden))
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.LOGITS,
        label="fused linear cross-entropy, gradients",
        phase=Phase.BACKWARD,
        formula=" + ".join(part.formula for part in parts),
        values=(("w", w), ("n", head.tokens), ("V", head.vocab), ("D", head.hidden)),
        source="Liger-Kernel ops/fused_linear_cross_entropy.py",
        parts=tuple(parts),
    )
