"""Logits and loss, by implementation, worked by hand."""

import pytest

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Loss
from vramcast.rules.logits import Head, backward_logits, forward_logits, projection_backward, saved_logits

N, V, D = 8192, 128256, 4096
BF16 = Head(
    tokens=N, vocab=V, hidden=D, itemsize=2, stream=2, weight=2, trained=True, held=False, upcast=False, capped=False
)
FP32 = BF16._replace(itemsize=4, stream=4, weight=4)
AMP = BF16._replace(stream=4, weight=4)
FROZEN = BF16._replace(trained=False)
HELD = BF16._replace(held=True)
CAPPED = BF16._replace(capped=True)
UPCAST = BF16._replace(upcast=True)
BOTH = BF16._replace(upcast=True, capped=True)


@pytest.mark.parametrize(
    ("head", "each"),
    [(BF16, 2 + 4 + 4), (HELD, 2 + 4 + 4), (FP32, 4 + 4), (UPCAST, 4 + 4), (CAPPED, 2 + 4 + 4 + 2), (BOTH, 4 + 4 + 4)],
    ids=["bf16", "held", "fp32", "upcast", "capped", "upcast and capped"],
)
def test_stock_loss_forward(head: Head, each: int) -> None:
    """Logits, an FP32 copy unless they are FP32, log-softmax; capped ones leave their tanh."""
    term = forward_logits(head, Loss.STOCK)
    assert term.bytes == N * V * each
    assert (term.category, term.phase) == (Category.LOGITS, Phase.FORWARD)


@pytest.mark.parametrize(
    ("head", "saved", "backward"),
    [
        (BF16, 4, 12),
        (HELD, 4 + 2, 12 + 2),
        (FP32, 4, 12),
        (UPCAST._replace(held=True), 4 + 4, 12 + 4),
        (CAPPED, 4 + 2, 12 + 2),
        (BOTH._replace(held=True), 4 + 4 + 4, 12 + 4 + 4),
    ],
    ids=["bf16", "held", "fp32", "upcast held", "capped", "upcast capped held"],
)
def test_stock_loss_backward(head: Head, saved: int, backward: int) -> None:
    """Log-softmax is kept; two FP32 gradients of the same size join it, beside what is still referenced."""
    assert saved_logits(head, Loss.STOCK) == N * V * saved
    assert backward_logits(head, Loss.STOCK).bytes == N * V * backward


@pytest.mark.parametrize(("head", "held"), [(BF16, 0), (HELD, 2), (UPCAST._replace(held=True), 4)])
def test_backward_of_the_projection(head: Head, held: int) -> None:
    """The logits' gradient in the compute type, the hidden state's, and logits that the caller holds."""
    term = projection_backward(head, Loss.STOCK)
    assert term is not None
    assert term.bytes == (2 + held) * N * V + 2 * N * D


@pytest.mark.parametrize("loss", [Loss.CHUNKED, Loss.FUSED_LINEAR])
def test_losses_that_multiply_themselves_have_no_projection_behind(loss: Loss) -> None:
    """Its backward is theirs."""
    assert projection_backward(BF16, loss) is None


TILE = 4096 * 32768 * 2


def test_chunked_loss_forward() -> None:
    """The hidden state and what was gathered of it, one tile, eight FP32 numbers a token: V does not matter."""
    term = forward_logits(BF16, Loss.CHUNKED)
    assert term.bytes == 2 * 2 * N * D + TILE + 8 * 4 * N
    assert forward_logits(BF16._replace(vocab=10 * V), Loss.CHUNKED).bytes == term.bytes


def test_short_batches_have_lower_tiles() -> None:
    """100 tokens make a tile of 100 rows."""
    short = BF16._replace(tokens=100)
    assert forward_logits(short, Loss.CHUNKED).bytes == 2 * 2 * 100 * D + 100 * 32768 * 2 + 8 * 4 * 100


@pytest.mark.parametrize(
    ("head", "hidden", "weight", "cast"),
    [(FROZEN, 2 + 4 + 2, 0, 0), (BF16, 2 + 4 + 2, 4 + 2, 0), (AMP, 4 + 4, 4, 2 * (4096 + 32768) * D)],
    ids=["frozen", "bf16", "amp"],
)
def test_chunked_loss_backward(head: Head, hidden: int, weight: int, cast: int) -> None:
    """Gathered state, FP32 gradient and its cast for half tensors; the same of a trained projection; the tile, its casts."""
    expected = hidden * N * D + weight * V * D + TILE + cast + 8 * 4 * N
    assert backward_logits(head, Loss.CHUNKED).bytes == expected
    assert saved_logits(head, Loss.CHUNKED) == head.stream * N * D + (4 + 8 + 16) * N


# ⌈128256 / 4096⌉ = 32 parts; ⌈8192 / 32⌉ = 256 tokens, a power of two
CHUNK = 256


@pytest.mark.parametrize(
    ("head", "kept", "running"),
    [
        (FROZEN, 2 * N * D, 2 * N * D + 2 * 2 * CHUNK * V),
        (BF16, 2 * N * D + 2 * V * D, 2 * N * D + 2 * CHUNK * V + (2 + 4) * V * D),
        (AMP, 4 * N * D + 4 * V * D, 4 * N * D + 2 * 2 * CHUNK * V + 2 * V * D),
    ],
    ids=["frozen", "bf16", "amp"],
)
def test_fused_loss(head: Head, kept: int, running: int) -> None:
    """Gradients are made in forward and kept; meanwhile the hidden state, two chunks or an FP32 share of V·D, casts."""
    assert saved_logits(head, Loss.FUSED_LINEAR) == kept
    assert backward_logits(head, Loss.FUSED_LINEAR).bytes == kept
    assert forward_logits(head, Loss.FUSED_LINEAR).bytes == kept + running


@pytest.mark.parametrize(
    ("tokens", "vocab", "hidden", "chunk"),
    [(8192, 128256, 4096, 256), (8000, 32000, 4096, 1024), (100, 50, 64, 100), (3, 128256, 64, 1), (5, 130, 64, 2)],
)
def test_chunks_are_powers_of_two(tokens: int, vocab: int, hidden: int, chunk: int) -> None:
    """nextpow2(⌈n / ⌈V/D⌉⌉) tokens, and no more than there are."""
    head = FROZEN._replace(tokens=tokens, vocab=vocab, hidden=hidden)
    assert dict(forward_logits(head, Loss.FUSED_LINEAR).values)["chunk"] == chunk


def test_a_single_chunk_has_none_before_it() -> None:
    """100 tokens in one chunk."""
    head = FROZEN._replace(tokens=100, vocab=50, hidden=64)
    assert forward_logits(head, Loss.FUSED_LINEAR).bytes == 2 * (2 * 100 * 64) + 2 * 100 * 50


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("head", [BF16, FROZEN, AMP, BOTH, FP32])
def test_parts_sum_to_their_term(loss: Loss, head: Head) -> None:
    """Every loss says what its bytes are made of."""
    for term in (forward_logits(head, loss), backward_logits(head, loss)):
        assert term.bytes == sum(part.bytes for part in term.parts) > 0
