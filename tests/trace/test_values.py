"""Numbers that a program counts with keep their values on a device that stores nothing."""

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from vramcast.domain.errors import UnsupportedError
from vramcast.trace.session import tracing


@pytest.fixture(params=["standin", "cpu"], autouse=True)
def _traced(request: pytest.FixtureRequest) -> Any:
    with tracing(request.param):
        yield


def test_what_is_made_from_constants() -> None:
    """Arithmetic of whole numbers gives what it gives on real tensors."""
    positions = torch.arange(5)[None] + torch.tensor(3)
    steps = torch.diff(positions, prepend=positions[:, :1] - 1)
    assert isinstance(positions, FakeTensor)
    assert positions.tolist() == [[3, 4, 5, 6, 7]]
    assert bool((steps == 1).all()) and not bool((steps != 1).any())


def test_what_is_written_in_place() -> None:
    """A counter that grows in place is seen through its views too."""
    lengths = torch.zeros(3, dtype=torch.long)
    second = lengths[1]
    lengths.add_(2)
    lengths[1] = 7
    assert second.item() == 7 and lengths.tolist() == [2, 7, 2]


def test_what_weights_decide_is_unknown() -> None:
    """What follows from numbers that nobody has is not made up."""
    best = torch.empty(2, 9).argmax(-1)
    with pytest.raises(UnsupportedError, match="depends on values"):
        best[0].item()
    with pytest.raises(UnsupportedError, match="depends on values"):
        bool(torch.ones(2).sum() > 1)


def test_what_is_overwritten_by_the_unknown_is_unknown() -> None:
    """A known tensor that receives an unknown number forgets all of its values, and so do its views."""
    known = torch.zeros(4, dtype=torch.long)
    view = known[2:]
    known[0] = torch.empty(2, 9).argmax()
    for lost in (known, view):
        with pytest.raises(UnsupportedError, match="depends on values"):
            lost[0].item()


def test_an_unknown_token_is_no_special_one() -> None:
    """Generation goes on until its length says stop."""
    token = torch.empty(2, 9).argmax(-1)
    assert torch.isin(token, torch.tensor([1])).tolist() == [False, False]


def test_random_whole_numbers_are_numbers() -> None:
    """Tokens drawn at random lie where they were asked to lie."""
    tokens = torch.randint(3, 9, (2, 50))
    assert 3 <= tokens.min().item() <= tokens.max().item() < 9
    assert torch.equal(tokens, tokens.clone())


def test_a_router_chooses_in_turn() -> None:
    """Every expert gets as many tokens as every other, and loops over experts find them."""
    chosen = torch.empty(6, 4).topk(2, dim=-1).indices
    assert chosen.tolist() == [[0, 1], [2, 3]] * 3
    per_expert = torch.nn.functional.one_hot(chosen, 4).sum(1)
    assert per_expert.sum(0).tolist() == [3] * 4
    rows, _ = torch.where(per_expert[:, 1:2] > 0)
    assert rows.tolist() == [0, 2, 4]
    assert torch.empty(6, 8)[rows].shape == (3, 8)


def test_rows_that_a_known_mask_selects() -> None:
    """As many as flags are set."""
    mask = torch.arange(6) % 3 == 1
    assert torch.empty(6, 8)[mask].shape == (2, 8)
    assert torch.arange(12).view(6, 2)[mask].tolist() == [[2, 3], [8, 9]]


def test_masks_of_floating_point_ones() -> None:
    """What is nothing but ones and zeros is known in any format."""
    mask = torch.cat([torch.ones(2, 3), torch.zeros(2, 1)], dim=1)
    assert mask[:, :3].to(torch.bool).all().item() and not mask.bool().all().item()
    assert (7 * torch.ones(2) == 7).tolist() == [True, True]


@pytest.mark.parametrize("_traced", ["standin"], indirect=True)
def test_an_operator_that_the_cpu_has_not() -> None:
    """It gives a result without values, and no error."""
    counted = torch.histc(torch.arange(6, dtype=torch.int32), bins=3, min=0, max=5)
    assert counted.shape == (3,)
    with pytest.raises(UnsupportedError, match="depends on values"):
        counted[0].item()
