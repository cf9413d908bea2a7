"""Number formats as table, page and JSON."""

import json
import re

import pytest

from vramcast.catalog.number_formats import all_formats, find_format
from vramcast.domain.number_format import NumberFormat
from vramcast.render.dtypes import format_page, formats_json, formats_table


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_its_width(width: int) -> None:
    """No line is longer than the terminal, every format has a line, and what was left out is said."""
    text = formats_table(all_formats(), width=width, color=False)
    assert max(map(len, text.splitlines())) <= width
    for one in all_formats():
        assert len(re.findall(rf"^{one.name} ", text, re.MULTILINE)) == 1
    assert ("Left out at this width" in text) == (width < 120)


def test_80_columns_hold_every_figure() -> None:
    """At the usual width all limits are there; only the bytes and the use give way."""
    text = formats_table(all_formats(), width=80, color=False)
    assert "Left out at this width: bytes, used for." in text
    assert re.search(r"^fp16 +1/5/10 +16 +16 +65504 +6.1e-5 +6.0e-8 +9.8e-4 +3.3$", text, re.MULTILINE)


def test_the_table_shows_both_sizes_of_tf32() -> None:
    """19 significant bits beside 32 in memory, and a sentence against mixing them up."""
    text = formats_table(all_formats(), width=80, color=False)
    assert re.search(r"^tf32 +1/8/10 +19 +32 ", text, re.MULTILINE)
    assert '"19 bits" is not its footprint' in text.replace("\n", " ")


@pytest.mark.parametrize("one", all_formats(), ids=lambda one: one.name)
def test_a_page_tells_its_source_and_fits(one: NumberFormat) -> None:
    """The page of every format names its source and date, in 80 columns."""
    text = format_page(one, width=80, color=False)
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert one.source in words
    assert one.checked in words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tf32", ["significant 19 bits", "in memory 32 bits = 4 B", "not its footprint", "64.00 MiB"]),
        ("nf4", ["in memory 4.5 bits = 0.5625 B", "32 bits (fp32), one for 64 values", "9.00 MiB"]),
        ("nf4-dq", ["in memory 4.126953 bits", "one for 16384 values", "codebook, with scales"]),
        ("nvfp4", ["8 bits (fp8-e4m3), one for 16 values", "one for the whole tensor", "largest 6, times the scale"]),
        ("fp16", ["largest 65504", "2^-14 = 6.103515625e-05", "infinity yes"]),
        ("fp8-e4m3", ["largest 448", "infinity no"]),
        ("int8", ["two's complement, 8 bits", "lowest -128"]),
    ],
)
def test_pages_say_what_matters(name: str, words: list[str]) -> None:
    """Bits, footprint, scales and limits of one format, as a reader would look for them."""
    text = " ".join(format_page(find_format(name), width=80, color=False).split())
    for word in words:
        assert word in text


def test_no_decimal_units_appear() -> None:
    """KB, MB and GB never stand for powers of 1,024."""
    pages = [format_page(one, width=80, color=False) for one in all_formats()]
    assert not re.search(r"\b[KMG]B\b", "\n".join(pages))


def test_json_has_every_figure() -> None:
    """Every format, stored and computed figures, under a schema version."""
    record = json.loads(formats_json(all_formats()))
    assert record["schema_version"] == 1
    by_name = {row["name"]: row for row in record["formats"]}
    assert by_name.keys() == {one.name for one in all_formats()}
    assert (by_name["tf32"]["significant_bits"], by_name["tf32"]["bits_per_value"]) == (19, 32)
    assert by_name["fp16"]["largest"] == 65504
    assert by_name["int8"]["epsilon"] is None
    assert by_name["nvfp4"]["scales"][1] == {"block": None, "bits": 32, "format": "fp32"}
    assert len(by_name["nf4"]["levels"]) == 16
