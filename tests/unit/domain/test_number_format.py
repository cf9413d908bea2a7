"""Limits and sizes of number formats, against ml_dtypes and numpy."""

from math import floor, log10
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from vramcast.catalog.number_formats import find_format
from vramcast.domain.number_format import FormatKind, NumberFormat

STANDARD = {"fp64": np.float64, "fp32": np.float32, "fp16": np.float16}
SMALL = {
    "bf16": ml_dtypes.bfloat16,
    "fp8-e4m3": ml_dtypes.float8_e4m3fn,
    "fp8-e5m2": ml_dtypes.float8_e5m2,
    "mxfp8-e4m3": ml_dtypes.float8_e4m3fn,
    "mxfp8-e5m2": ml_dtypes.float8_e5m2,
    "mxfp6-e2m3": ml_dtypes.float6_e2m3fn,
    "mxfp6-e3m2": ml_dtypes.float6_e3m2fn,
    "mxfp4": ml_dtypes.float4_e2m1fn,
    "nvfp4": ml_dtypes.float4_e2m1fn,
    "fp4-e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}
FLOATS: dict[str, Any] = {**STANDARD, **SMALL}
CODE_TYPES = {"bf16": np.uint16, "fp16": np.uint16}


@pytest.mark.parametrize("name", FLOATS)
def test_limits_equal_finfo(name: str) -> None:
    """Bits, largest, lowest, smallest normal, smallest subnormal and epsilon are those of the reference type."""
    ours, theirs = find_format(name), ml_dtypes.finfo(FLOATS[name])
    assert ours.storage_bits == ours.significant_bits == theirs.bits
    assert ours.mantissa_bits == theirs.nmant
    assert ours.exponent_bits == theirs.nexp
    assert ours.largest == float(theirs.max)
    assert ours.lowest == float(theirs.min)
    assert ours.smallest_normal == float(theirs.smallest_normal)
    assert ours.epsilon == float(theirs.eps)
    if ours.has_subnormals:
        assert ours.smallest_subnormal == float(theirs.smallest_subnormal)
    else:
        assert ours.smallest_subnormal is None


@pytest.mark.parametrize("name", [*STANDARD, "bf16"])
def test_decimal_digits_agree_with_finfo(name: str) -> None:
    """finfo's whole digits are ours, less the digit that a binary fraction can cost, rounded down."""
    digits = find_format(name).decimal_digits
    assert digits is not None
    assert floor(digits - log10(2)) == ml_dtypes.finfo(FLOATS[name]).precision


@pytest.mark.parametrize("name", [name for name in FLOATS if name not in {"fp64", "fp32"}])
def test_every_finite_code_decodes_as_the_reference_does(name: str) -> None:
    """All positive codes up to the largest number give the reference type's value, and the next one is no number."""
    ours = find_format(name)
    codes = np.arange(2 ** (ours.exponent_bits + ours.mantissa_bits), dtype=CODE_TYPES.get(name, np.uint8))
    with np.errstate(invalid="ignore"):
        theirs = codes.view(FLOATS[name]).astype(np.float64)
    finite = np.isfinite(theirs)
    assert [ours.decode(int(code)) for code in codes[finite]] == theirs[finite].tolist()
    assert ours.largest == theirs[finite].max()
    assert bool(np.isinf(theirs).any()) == ours.has_infinity


def test_tf32_is_the_range_of_fp32_with_the_mantissa_of_fp16() -> None:
    """No library has a TF32 type: its limits are pinned to those of the two formats that it borrows from."""
    tf32, fp32, fp16 = map(find_format, ("tf32", "fp32", "fp16"))
    assert (tf32.smallest_normal, tf32.epsilon) == (fp32.smallest_normal, fp16.epsilon)
    assert tf32.largest == (2 - 2**-10) * 2.0**127
    assert tf32.smallest_subnormal == 2.0**-136


def test_tf32_has_19_significant_bits_and_takes_32() -> None:
    """The 19 bits of TF32 are never its footprint."""
    tf32 = find_format("tf32")
    assert (tf32.significant_bits, tf32.bits_per_value, tf32.bytes_for(1024)) == (19, 32, 4096)


@pytest.mark.parametrize(("name", "theirs"), [("int8", np.iinfo(np.int8)), ("int4", ml_dtypes.iinfo(ml_dtypes.int4))])
def test_integers_equal_iinfo(name: str, theirs: Any) -> None:
    """Integers have the limits of two's complement and none of a float's figures."""
    ours = find_format(name)
    assert (ours.lowest, ours.largest) == (theirs.min, theirs.max)
    assert ours.significant_bits == ours.storage_bits
    assert ours.epsilon is ours.smallest_normal is ours.smallest_subnormal is ours.decimal_digits is None


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("nf4", 4.5),
        ("fp4", 4.5),
        ("nf4-dq", 4 + 8 / 64 + 32 / (64 * 256)),
        ("fp4-dq", 4 + 8 / 64 + 32 / (64 * 256)),
        ("mxfp8-e4m3", 8.25),
        ("mxfp8-e5m2", 8.25),
        ("mxfp6-e2m3", 6.25),
        ("mxfp6-e3m2", 6.25),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),
        ("int8", 8),
        ("int8-g128", 8.125),
        ("int4", 4),
        ("int4-g128", 4.125),
    ],
)
def test_bits_per_value_count_the_scales(name: str, bits: float) -> None:
    """A value costs its own bits and its share of the scales."""
    assert find_format(name).bits_per_value == bits


def test_double_quantisation_takes_4_127_bits() -> None:
    """The figure that papers round to 4.127."""
    assert round(find_format("nf4-dq").bits_per_value, 3) == 4.127


@pytest.mark.parametrize(
    ("name", "numel", "size"),
    [
        ("nf4", 4096 * 1024, 2_359_296),
        ("nf4-dq", 4096 * 1024, 2_163_716),
        ("nf4", 10_000, 5_628),
        ("nf4-dq", 10_000, 5_165),
        ("nf4", 1_000, 564),
        ("nf4-dq", 1_000, 524),
        ("nf4-dq", 64, 41),
        ("fp4-dq", 65_536, 33_812),
    ],
)
def test_bytes_equal_what_bitsandbytes_stores(name: str, numel: int, size: int) -> None:
    """Sizes read off the tensors of `quantize_4bit` in bitsandbytes 0.50.2: codes, absmax, its scales and its offset."""
    assert find_format(name).bytes_for(numel) == size


@pytest.mark.parametrize(
    ("name", "numel", "size"),
    [
        ("bf16", 3, 6),
        ("fp64", 3, 24),
        ("int4", 3, 2),
        ("mxfp6-e3m2", 32, 25),
        ("mxfp4", 33, 19),
        ("nvfp4", 16, 8 + 1 + 4),
        ("nvfp4", 17, 9 + 2 + 4),
        ("nf4-dq", 0, 0),
    ],
)
def test_bytes_round_up_to_whole_bytes_and_blocks(name: str, numel: int, size: int) -> None:
    """A last block that is not full has a scale of its own; an empty tensor has none."""
    assert find_format(name).bytes_for(numel) == size


def test_a_format_of_its_own_needs_no_catalog() -> None:
    """The figures follow from the layout alone: a made-up 1/3/4 format."""
    made_up = NumberFormat(
        name="e3m4",
        label="E3M4",
        kind=FormatKind.FLOAT,
        sign_bits=1,
        exponent_bits=3,
        mantissa_bits=4,
        storage_bits=8,
        use="",
        source="",
        checked="",
    )
    assert (made_up.largest, made_up.smallest_normal, made_up.smallest_subnormal) == (31.0, 0.25, 1 / 64)
