"""What attention's `math` allocates, and what of it the backward pass keeps, against a list worked by hand."""

import pytest
import torch

from tests.trace.test_attention_storages import BF16, FP32, OUT, SCORES, B, T, attended
from vramcast.domain.run import AttentionKernel

MATH = AttentionKernel.MATH
WIDE = 2 * OUT  # queries, keys or values in FP32
COPIES = [("_to_copy", WIDE)] * 3  # queries, keys, values
HALVED = [("_to_copy", SCORES // 2)]  # the weights in the query's format, a second result that nobody takes
SCALED = [("mul", WIDE)]
AFTER = [("bmm", SCORES), ("_safe_softmax", SCORES), *HALVED, ("bmm", WIDE), ("_to_copy", OUT)]
NUMBERS = [("full", 2)] * 2  # zero and -inf, of no dimension


def test_math_holds_scores_in_fp32() -> None:
    """FP32 copies, scaled queries and keys, scores, their softmax; kept: scaled ones, values, softmax, the output."""
    made, kept = attended((8, 0), MATH)
    assert sorted(made) == sorted([*COPIES, *SCALED, *SCALED, *AFTER])
    assert kept == [("_to_copy", WIDE), *SCALED, *SCALED, ("_safe_softmax", SCORES), ("_to_copy", OUT)]


@pytest.mark.parametrize("mask", [BF16, FP32])
def test_a_mask_is_added_in_place(mask: torch.dtype) -> None:
    """Scores are not copied when the mask is added to them."""
    assert attended((8, 0), MATH, mask=mask) == attended((8, 0), MATH)


def test_a_boolean_mask_becomes_numbers_first() -> None:
    """One tensor of the mask's shape in the query's format, which is not kept: adding needs no mask to go back."""
    made, kept = attended((8, 0), MATH, mask=torch.bool)
    assert made == [*NUMBERS, ("where", 2 * B * T * T), *attended((8, 0), MATH).made]
    assert kept == attended((8, 0), MATH).kept


def test_grouped_keys_and_values_are_expanded_in_fp32() -> None:
    """Two heads of keys and of values become four, after the cast."""
    made, kept = attended((8, 0), MATH, kv_heads=2)
    few = [("_to_copy", WIDE // 2)] * 2
    assert sorted(made) == sorted([*COPIES[:1], *few, ("clone", WIDE), ("clone", WIDE), *SCALED, *SCALED, *AFTER])
    assert kept == [*SCALED, ("clone", WIDE), *SCALED, ("_safe_softmax", SCORES), ("_to_copy", OUT)]


def test_dropout_keeps_a_mask_and_dropped_weights() -> None:
    """A mask of one byte a score, and the weights after dropout beside those before."""
    made, kept = attended((8, 0), MATH, dropout=0.5)
    dropped = [("native_dropout", SCORES), ("native_dropout", SCORES // 4)]
    assert all(one in made for one in dropped)
    assert [one for one in kept if one not in attended((8, 0), MATH).kept] == dropped


def test_math_without_gradients_keeps_the_output_alone() -> None:
    """Everything else is gone when it returns."""
    seen = attended((8, 0), MATH, within=torch.no_grad)
    assert ("bmm", SCORES) in seen.made
    assert seen.kept == [("_to_copy", OUT)]


def test_math_in_fp32_copies_nothing() -> None:
    """A query that is FP32 already is scaled as it is."""
    made, _ = attended((8, 0), MATH, dtype=FP32)
    assert [name for name, _ in made] == ["mul", "mul", "bmm", "_safe_softmax", "bmm"]
