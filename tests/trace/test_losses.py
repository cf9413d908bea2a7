"""Losses that never hold all logits: what they keep for the backward pass, and the most that lives, by hand."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Loss
from vramcast.domain.timeline import Timeline
from vramcast.trace.losses import loss_without_logits
from vramcast.trace.session import tracing
from vramcast.trace.standin import NAME

B, T, H, V = 2, 128, 64, 40_000
LABELLED = B * (T - 1)  # the last token of a sequence has no label
SMALL = 20_000  # bytes; figures of tokens, not counted
HIDDEN, GATHERED, WEIGHT = 2 * B * T * H, 2 * LABELLED * H, 2 * V * H
TILE_VOCAB = 32_768
TILE = 2 * LABELLED * TILE_VOCAB


class Causal(nn.Module):
    """An embedding and an output projection, put together as transformers does."""

    def __init__(self, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, H, dtype=dtype)
        self.head = nn.Linear(H, V, bias=False, dtype=dtype)

    def get_output_embeddings(self) -> nn.Module:
        """The projection."""
        return self.head

    def base_model(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        """What lies below it."""
        return SimpleNamespace(last_hidden_state=self.embed(input_ids))


class Measured(NamedTuple):
    """Large blocks kept by the forward pass; most bytes in it; large blocks after the backward pass; most bytes in it."""

    kept: list[int]
    most: int
    left: list[int]
    most_back: int


def measured(kind: Loss, *, frozen: bool = False, dtype: torch.dtype = torch.bfloat16, amp: bool = False) -> Measured:
    """One pass forward and back; the model and its input are not counted."""
    with tracing() as recorder:
        model = Causal(dtype)
        model.head.weight.requires_grad_(not frozen)
        ids, labels = (torch.zeros(B, T, dtype=torch.long) for _ in range(2))
        began = recorder.now
        with torch.autocast(NAME, torch.bfloat16, enabled=amp):
            loss = loss_without_logits(model, kind, ids, labels, lambda: None)
        forward = recorder.now
        loss.backward()
        backward = recorder.now
        record = recorder.timeline()
    kept, most = living(record, began, forward, [])
    left, most_back = living(record, forward, backward, kept)
    return Measured(sizes(record, kept), most, sizes(record, left), most_back)


def living(record: Timeline, start: int, end: int, alive: list[int]) -> tuple[list[int], int]:
    """Large blocks that live at `end`, and the most bytes of them between."""
    alive = list(alive)
    most = 0
    for born, block in record.events[start:end]:
        if record.blocks[block].bytes >= SMALL:
            (alive.append if born else alive.remove)(block)
        most = max(most, sum(record.blocks[one].bytes for one in alive))
    return alive, most


def sizes(record: Timeline, blocks: list[int]) -> list[int]:
    """Bytes, the smallest first."""
    return sorted(record.blocks[block].bytes for block in blocks)


def test_chunked_keeps_the_hidden_state_alone() -> None:
    """
    Forward: hidden states, those of labelled tokens, a tile of logits. Backward: FP32 gradients of both, then their copies.

    The tile is of all labelled tokens, 4,096 at most, and of 32,768 entries.
    """
    kept, most, left, most_back = measured(Loss.CHUNKED)
    assert kept == [GATHERED]
    assert most == HIDDEN + GATHERED + TILE
    assert most_back == GATHERED + TILE + 2 * GATHERED + 2 * WEIGHT + GATHERED + WEIGHT
    assert left == [WEIGHT]


def test_chunked_under_autocast_casts_pieces() -> None:
    """The labelled tokens, and one piece of the weight forward; backward two pieces meet, here the whole of it."""
    kept, most, left, most_back = measured(Loss.CHUNKED, dtype=torch.float32, amp=True)
    assert kept == [2 * GATHERED]
    assert most == 2 * HIDDEN + 2 * GATHERED + GATHERED + TILE + 2 * TILE_VOCAB * H
    assert most_back == 2 * GATHERED + 2 * GATHERED + 2 * WEIGHT + GATHERED + TILE + WEIGHT
    assert left == [2 * WEIGHT]


ROW = 2 * V  # logits of one token: so small a chunk is what Liger takes for many entries and narrow hidden states


def test_fused_linear_keeps_gradients() -> None:
    """Those of hidden states and weight, made in the forward pass: a chunk's product twice, the second time in FP32."""
    kept, most, left, most_back = measured(Loss.FUSED_LINEAR)
    assert kept == [HIDDEN, WEIGHT]
    assert most == HIDDEN + HIDDEN + WEIGHT + ROW + WEIGHT + 2 * WEIGHT
    assert most_back == HIDDEN + WEIGHT
    assert left == [WEIGHT]


def test_fused_linear_under_autocast_casts_the_weight_twice() -> None:
    """Transposed, and as it is, which autocast keeps; the FP32 gradient is added to in place."""
    kept, most, left, most_back = measured(Loss.FUSED_LINEAR, dtype=torch.float32, amp=True)
    assert kept == [2 * HIDDEN, 2 * WEIGHT]
    assert most == 2 * HIDDEN + 2 * HIDDEN + 2 * WEIGHT + WEIGHT + WEIGHT + 2 * ROW
    assert most_back == 2 * HIDDEN + 2 * WEIGHT
    assert left == [2 * WEIGHT]


def test_a_frozen_head_has_no_gradient() -> None:
    """Under adapters neither loss makes one."""
    kept, most, left, most_back = measured(Loss.CHUNKED, frozen=True)
    assert (kept, left) == ([GATHERED], [])
    assert (most, most_back) == (HIDDEN + GATHERED + TILE, GATHERED + TILE + 2 * GATHERED + GATHERED)
    kept, most, left, most_back = measured(Loss.FUSED_LINEAR, frozen=True)
    assert (kept, left) == ([HIDDEN], [])
    assert (most, most_back) == (2 * HIDDEN + 2 * ROW, HIDDEN)


@pytest.mark.parametrize("kind", [Loss.CHUNKED, Loss.FUSED_LINEAR])
def test_a_head_of_another_class_is_refused(kind: Loss) -> None:
    """What would multiply differently is not taken for a plain product."""

    class Wrapped(nn.Linear):
        pass

    with tracing():
        model = Causal()
        model.head = Wrapped(H, V)
        ids = torch.zeros(B, T, dtype=torch.long)
        with pytest.raises(UnsupportedError, match="Wrapped"):
            loss_without_logits(model, kind, ids, ids, lambda: None)
