"""
Logits and loss: often the largest tensors of a step.

Letters: B micro-batch, T tokens per sequence, V vocabulary, D hidden, s bytes an element.
"""

from typing import NamedTuple

from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.run import Loss

FP32 = 4
TILE_TOKENS = 4096  # tokens in a tile of TRL's chunked loss
TILE_VOCAB = 32768  # vocabulary entries in a tile of TRL's chunked loss


class Head(NamedTuple):
    """What the loss rules need: tokens n = B · T, vocabulary, hidden size, item size, whether the projection is trained."""

    tokens: int
    vocab: int
    hidden: int
    itemsize: int
    trained: bool
    held: bool  # the caller keeps `outputs.logits` during backward
    upcast: bool  # the model caps or scales its logits in one more tensor


def forward_logits(head: Head, loss: Loss) -> Term:
    """
    What logits and loss hold at the end of the forward pass.

    Formula:  stock: n·V·(s + 4 + 4): logits, their FP32 copy (if s < 4), log-softmax; chunked: one tile;
              fused: one chunk of n / ⌈V/D⌉ tokens + the input's gradient s·n·D + the weight's s·V·D (if trained)
    Source:   transformers 5.23 loss_utils.py, torch cross_entropy; TRL 1.16 kernels/chunked_logprob.py;
              Liger fused_linear_cross_entropy.py.
    """
    n, v, s = head.tokens, head.vocab, head.itemsize
    match loss:
        case Loss.STOCK:
            copies = [("logits", s), ("FP32 copy", FP32 if s < FP32 else 0), ("log-softmax", FP32)]
            if head.upcast:
                copies.append(("capped or scaled logits", s))
            return _term(Phase.FORWARD, "logits, FP32 copy, log-softmax", copies, n * v, "n·V", head)
        case Loss.CHUNKED:
            return _tile(Phase.FORWARD, head, 0, 0)
        case Loss.FUSED_LINEAR:
            return _chunk(Phase.FORWARD, head)


def saved_logits(head: Head, loss: Loss) -> int:
    """Bytes that the loss keeps from its forward to its backward, logits still referenced by the caller included."""
    n, v = head.tokens, head.vocab
    match loss:
        case Loss.STOCK:
            capped = head.itemsize if head.upcast else 0
            return n * v * (FP32 + capped + (head.itemsize if head.held else 0))
        case Loss.CHUNKED:
            return n * FP32
        case Loss.FUSED_LINEAR:
            return head.itemsize * (n * head.hidden + (v * head.hidden if head.trained else 0))


def backward_logits(head: Head, loss: Loss) -> Term:
    """
    What logits and loss hold at the worst moment of their backward.

    Formula:  stock: n·V·(4 + 4 + 4): log-softmax, gradient of the negative log-likelihood, gradient of log-softmax
              (+ s while the caller holds the logits); chunked: one tile + 4·n·D (+ (4 + s)·V·D if trained);
              fused: the input's (and weight's) gradient, made in the forward pass
    Source:   torch Loss.cu (nll_loss_backward), SoftMax.cu; TRL 1.16 kernels/chunked_logprob.py; Liger.
    """
    n, v, s = head.tokens, head.vocab, head.itemsize
    match loss:
        case Loss.STOCK:
            copies = [("log-softmax", FP32), ("gradient of the loss", FP32), ("gradient of log-softmax", FP32)]
            if head.held:
                copies.append(("logits, still referenced", s))
            if head.upcast:
                copies.append(("capped or scaled logits", s))
            return _term(Phase.BACKWARD, "log-softmax and two gradients", copies, n * v, "n·V", head)
        case Loss.CHUNKED:
            weight = (FP32 + s) * v * head.hidden if head.trained else 0
            return _tile(Phase.BACKWARD, head, FP32 * n * head.hidden, weight)
        case Loss.FUSED_LINEAR:
            return _kept_gradients(head)


def projection_backward(head: Head, loss: Loss) -> Term | None:
    """
    The output projection's own backward: the logits' gradient in the compute type and the hidden state's gradient.

    Formula:  s·n·V + s·n·D; nothing where the loss has done it already
    Source:   torch derivatives of linear.
    Ignores:  the weight's gradient, which is among the gradients.
    """
    if loss is not Loss.STOCK:
        return None
    n, s = head.tokens, head.itemsize
    held = s if head.held else 0
    copies = [("gradient of the logits", s), ("logits, still referenced", held)]
    term = _term(Phase.BACKWARD, "gradient of the logits", copies, n * head.vocab, "n·V", head)
    hidden = Part("gradient of the hidden state", f"{s}·n·D", s * n * head.hidden)
    return Term(
        bytes=term.bytes + hidden.bytes,
        category=term.category,
        label=term.label,
        phase=term.phase,
        formula=f"({s + held})·n·V + {s}·n·D",
        values=(*term.values, ("D", head.hidden)),
        source=term.source,
        parts=(*term.parts, hidden),
    )


def _term(phase: Phase, label: str, copies: list[tuple[str, int]], numel: int, letters: str, head: Head) -> Term:
    kept = [(name, size) for name, size in copies if size]
    return Term(
        bytes=numel * sum(size for _, size in kept),
        category=Category.LOGITS,
        label=label,
        phase=phase,
        formula=f"({' + '.join(str(size) for _, size in kept)})·{letters}",
        values=(("n", head.tokens), ("V", head.vocab)),
        source="transformers 5.23 loss_utils.py; torch SoftMax.cu, Loss.cu",
        parts=tuple(Part(name, f"{size}·{letters}", size * numel) for name, size in kept),
    )


def _tile(phase: Phase, head: Head, hidden_gradient: int, weight_gradient: int) -> Term:
    tile = min(head.tokens, TILE_TOKENS) * TILE_VOCAB * head.itemsize
    statistics = 8 * FP32 * head.tokens
    parts = [Part("one tile of logits", "s·min(n, 4096)·32768", tile), Part("statistics", "8·4·n", statistics)]
    if hidden_gradient:
        parts.append(Part("FP32 gradient of the hidden state", "4·n·D", hidden_gradient))
    if weight_gradient:
        parts.append(Part("FP32 gradient of the projection, and its cast", "(4 + s)·V·D", weight_gradient))
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.LOGITS,
        label="chunked loss",
        phase=phase,
        formula=" + ".join(part.formula for part in parts),
        values=(("s", head.itemsize), ("n", head.tokens), ("V", head.vocab), ("D", head.hidden)),
        source="TRL 1.16 kernels/chunked_logprob.py",
        parts=tuple(parts),
    )


def _chunk(phase: Phase, head: Head) -> Term:
    kept = _kept_gradients(head)
    chunks = -(-head.vocab // head.hidden)
    tokens = min(head.tokens, 1 << (-(-head.tokens // chunks) - 1).bit_length())
    part = Part("one chunk of logits", "s·chunk·V", head.itemsize * tokens * head.vocab)
    return Term(
        bytes=kept.bytes + part.bytes,
        category=Category.LOGITS,
        label="fused linear cross-entropy",
        phase=phase,
        formula=f"{kept.formula} + {part.formula}",
        values=(*kept.values, ("chunk", tokens)),
        source=kept.source,
        parts=(*kept.parts, part),
    )


def _kept_gradients(head: Head) -> Term:
    s = head.itemsize
    parts = [Part("gradient of the hidden state", "s·n·D", s * head.tokens * head.hidden)]
    if head.trained:
        parts.append(Part("gradient of the projection", "s·V·D", s * head.vocab * head.hidden))
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.LOGITS,
        label="fused linear cross-entropy, gradients",
        phase=Phase.BACKWARD,
        formula=" + ".join(part.formula for part in parts),
        values=(("s", s), ("n", head.tokens), ("V", head.vocab), ("D", head.hidden)),
        source="Liger-Kernel ops/fused_linear_cross_entropy.py",
        parts=tuple(parts),
    )
