"""The catalog of number formats: names, aliases, levels, sources."""

from statistics import NormalDist

import pytest

from vramcast.catalog.number_formats import all_formats, find_format
from vramcast.domain.errors import InputError
from vramcast.domain.number_format import FormatKind, NumberFormat

ASKED_FOR = [
    "fp64",
    "fp32",
    "tf32",
    "fp16",
    "bf16",
    "fp8-e4m3",
    "fp8-e5m2",
    "mxfp8-e4m3",
    "mxfp8-e5m2",
    "mxfp6-e2m3",
    "mxfp6-e3m2",
    "mxfp4",
    "nvfp4",
    "int8",
    "int4",
    "nf4",
    "nf4-dq",
    "fp4",
    "fp4-e2m1",
    "e8m0",
]


def plain(name: str) -> str:
    """A name as the catalog compares it."""
    return name.lower().replace("-", "").replace("_", "")


@pytest.mark.parametrize("name", ASKED_FOR)
def test_every_format_is_there_by_its_own_name(name: str) -> None:
    """The catalog's own words find their rows."""
    assert find_format(name).name == name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("bfloat16", "bf16"),
        ("torch.bfloat16", "bf16"),
        ("BF16", "bf16"),
        ("float16", "fp16"),
        ("half", "fp16"),
        ("double", "fp64"),
        ("F32", "fp32"),
        ("e4m3", "fp8-e4m3"),
        ("fp8", "fp8-e4m3"),
        ("torch.float8_e4m3fn", "fp8-e4m3"),
        ("F8_E5M2", "fp8-e5m2"),
        ("mxfp8", "mxfp8-e4m3"),
        ("float4_e2m1fn", "fp4-e2m1"),
        ("float8_e8m0fnu", "e8m0"),
        ("NF4", "nf4"),
    ],
)
def test_aliases_find_their_format(word: str, name: str) -> None:
    """Words of torch, safetensors, ml_dtypes and papers lead to one row."""
    assert find_format(word).name == name


def test_no_word_means_two_formats() -> None:
    """Names and aliases are unique once case and dashes are gone."""
    words = [plain(word) for one in all_formats() for word in (one.name, *one.aliases)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("word", "hint"),
    [("mxfp6", "mxfp6-e2m3 or mxfp6-e3m2"), ("bf61", "bf16"), ("", "lists them"), ("q" * 10_000, "lists them")],
)
def test_an_unknown_name_is_an_input_error_with_a_hint(word: str, hint: str) -> None:
    """A near miss is answered with the nearest names, anything else with where to look; the message stays short."""
    with pytest.raises(InputError) as error:
        find_format(word)
    assert hint in error.value.hint
    assert len(error.value.what) < 100


@pytest.mark.parametrize("one", all_formats(), ids=lambda one: one.name)
def test_every_row_has_a_source_a_date_and_a_use(one: NumberFormat) -> None:
    """No figure without origin."""
    assert one.source
    assert one.use
    assert one.checked.startswith("2026-")


@pytest.mark.parametrize("one", all_formats(), ids=lambda one: one.name)
def test_rows_hold_together(one: NumberFormat) -> None:
    """Codes fit their storage, codebooks rise from -1 to 1 within their index, scales are as wide as their format."""
    assert one.significant_bits <= one.storage_bits
    if one.kind is FormatKind.CODEBOOK:
        assert list(one.levels) == sorted(set(one.levels))
        assert (one.levels[0], one.levels[-1]) == (-1.0, 1.0)
        assert len(one.levels) <= 2**one.storage_bits
    for scale in one.scales:
        assert scale.format == "dynamic-8" or find_format(scale.format).storage_bits == scale.bits


def test_nf4_levels_are_quantiles_of_the_normal_distribution() -> None:
    """The 16 levels follow from QLoRA's construction: 7 negative, zero, 8 positive, at even steps of probability."""
    offset, normal = 0.9677083, NormalDist()

    def quantiles(count: int) -> list[float]:
        step = (offset - 0.5) / count
        return [normal.inv_cdf(offset - step * index) for index in range(count)]

    positive, negative = quantiles(8), [-value for value in quantiles(7)]
    largest = max(positive)
    expected = sorted([*negative, 0.0, *positive])
    assert [value / largest for value in expected] == pytest.approx(find_format("nf4").levels, abs=1e-6)


def test_bitsandbytes_fp4_levels_are_twelfths() -> None:
    """Its levels are 0, 1/16, 2, 3, 4, 6, 8 and 12 over 12, with both signs."""
    positive = [step / 12 for step in (1 / 16, 2, 3, 4, 6, 8, 12)]
    assert find_format("fp4").levels == (*(-value for value in reversed(positive)), 0.0, *positive)
