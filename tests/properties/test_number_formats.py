"""Laws of number formats that hold for every value and every size."""

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vramcast.app.dtypes_demo import round_to_bf16
from vramcast.catalog.number_formats import all_formats
from vramcast.domain.number_format import NumberFormat

FORMATS = st.sampled_from(all_formats())
SIZES = st.integers(0, 2**40)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_bf16_rounding_equals_ml_dtypes(patterns: list[int]) -> None:
    """Any FP32 bit pattern, subnormals, infinities and NaN included, rounds as ml_dtypes' bfloat16 does."""
    values = np.array(patterns, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    ours = round_to_bf16(values)
    numbers = ~np.isnan(values)
    assert np.isnan(ours[~numbers]).all()
    assert ours[numbers].view(np.uint32).tolist() == theirs[numbers].view(np.uint32).tolist()


@given(st.integers(0, 2**16 - 1))
def test_bf16_values_and_ties_round_to_even(upper: int) -> None:
    """A BF16 value stays itself, and a value halfway between two goes to the one with an even last bit."""
    exact = np.array([upper << 16], dtype=np.uint32)
    if not np.isfinite(exact.view(np.float32))[0]:
        return
    assert round_to_bf16(exact.view(np.float32)).view(np.uint32)[0] == exact[0]
    halfway = round_to_bf16((exact | np.uint32(0x8000)).view(np.float32)).view(np.uint32)[0] >> np.uint32(16)
    assert halfway % 2 == 0
    assert int(halfway) - upper in (0, 1)


@given(FORMATS, SIZES, SIZES)
def test_bytes_grow_with_the_tensor_and_splitting_never_saves(one: NumberFormat, first: int, second: int) -> None:
    """A larger tensor takes no less, and one tensor no more than the same values in two."""
    whole = one.bytes_for(first + second)
    assert whole >= one.bytes_for(first)
    assert whole <= one.bytes_for(first) + one.bytes_for(second)


@given(FORMATS, st.integers(1, 2**40))
def test_bytes_are_bits_per_value_and_at_most_one_block_more(one: NumberFormat, numel: int) -> None:
    """`bytes_for` is `bits_per_value` times the size, but for what rounding up and one scale a level add."""
    excess = one.bytes_for(numel) - numel * one.bits_per_value / 8
    assert -1e-3 <= excess < 1 + sum(scale.bits / 8 + 1 for scale in one.scales) + 1e-3


@given(FORMATS)
def test_limits_are_in_order(one: NumberFormat) -> None:
    """Zero, smallest subnormal, smallest normal, largest: each above the one before, where a format has it."""
    limits = [limit for limit in (one.smallest_subnormal, one.smallest_normal, one.largest) if limit is not None]
    assert limits[0] > 0
    assert limits == sorted(set(limits))
    assert one.lowest < one.largest
