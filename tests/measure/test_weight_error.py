"""Four bits: what the account of QLoRA says of them, seen."""

from itertools import pairwise

import pytest
import torch

from vramcast.catalog.number_formats import find_format
from vramcast.measure.weight_error import BLOCK, levels, weight_errors

NUMEL = 2**20
TABLE = 256 * 4  # of the scales' own 8-bit code
OFFSET = 4


def test_nf4_has_16_levels_that_are_quantiles_of_a_normal() -> None:
    """They are the catalog's, zero is among them, and they lie closer where normal weights are more."""
    found = levels("nf4")
    assert found == pytest.approx(find_format("nf4").levels)
    assert len(set(found)) == 16
    assert found[7] == 0.0
    gaps = [high - low for low, high in pairwise(found[7:])]
    assert gaps == sorted(gaps)


def test_nf4_is_closest_to_normal_weights() -> None:
    """Its error is below FP4's and INT4's, and double quantisation adds next to none."""
    torch.manual_seed(0)
    errors = {one.format: one.relative for one in weight_errors(torch.randn(NUMEL))}
    assert errors["nf4"] < errors["int4"] < errors["fp4"]
    assert errors["nf4"] == pytest.approx(0.092, abs=0.003)
    assert errors["nf4-dq"] < 1.01 * errors["nf4"]


def test_double_quantisation_saves_what_the_account_says() -> None:
    """0.5 bits of scales a weight become 0.127: 0.373 saved, but for a table and an offset a tensor."""
    sizes = {one.format: one.bytes for one in weight_errors(torch.randn(NUMEL))}
    scales = NUMEL // BLOCK
    assert sizes["nf4"] == sizes["fp4"] == sizes["int4"] == NUMEL // 2 + 4 * scales
    assert sizes["nf4-dq"] == NUMEL // 2 + scales + 4 * scales // 256 + TABLE + OFFSET
    saved = (sizes["nf4"] - sizes["nf4-dq"] + TABLE + OFFSET) * 8 / NUMEL
    assert saved == pytest.approx(0.373, abs=0.001)
