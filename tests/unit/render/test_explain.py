"""The derivation."""

import re

import pytest

from tests.made_forecasts import DEVICE, qlora_forecast, serve_forecast
from tests.varied_forecasts import varied_forecasts
from vramcast.domain.forecast import Category
from vramcast.render.explain import DYNAMIC, OUTSIDE, STATIC, explain_text
from vramcast.render.style import Style


def plain(width: int = 80) -> str:
    """The derivation of the made QLoRA step."""
    return explain_text(qlora_forecast(), Style(width=width))


def test_a_term_is_derived_in_three_steps() -> None:
    """Letters, numbers, bytes; then parts, source and what it ignores."""
    text = plain()
    expected = """  frozen weights (NF4, double quantisation, rest half precision)            5.31
    q·Φ_q + s·Φ_rest
    = 0.515869·6,979,321,856 + 2·1,050,939,392
    = 5,702,296,448 B
    quantised weights (NF4, double quantisation)                            3.35
"""
    assert expected in text
    assert "    what is not quantised" in text
    assert "    source: arXiv:2305.14314; transformers 5.23 quantizers; bitsandbytes 0.50\n" in text
    assert "    ignores: code tables and 512-byte rounding of each tensor\n" in text


def test_a_step_that_says_nothing_new_is_left_out() -> None:
    """A constant has no numbers to put in."""
    assert "    context\n    = 448,790,528 B\n" in plain()


def test_groups_have_their_sums() -> None:
    """Static, dynamic, and what lies outside; together they are the process tier."""
    text = plain()
    sums = [float(size) for size in re.findall(r"^(?:static|dynamic|libraries)\S.* ([\d.]+) GiB$", text, re.MULTILINE)]
    assert len(sums) == 3 - text.count("libraries, process") + 1
    assert sum(sums) == pytest.approx(qlora_forecast().tiers.process / 2**30, abs=0.02)


def test_every_category_is_in_one_group() -> None:
    """None is lost, none is counted twice."""
    assert sorted((*STATIC, *DYNAMIC, *OUTSIDE)) == sorted(Category)


def test_all_moments_are_listed_and_the_peak_is_marked() -> None:
    """Each with its sum; terms that the peak does not hold are derived too."""
    text = plain()
    forecast = qlora_forecast()
    moments = text[text.index("moments that competed") : text.index("the three tiers")]
    assert [one.name for one in forecast.instants if one.name in moments] == [one.name for one in forecast.instants]
    assert re.search(r"▸ backward of block 32 of 32 \(recomputing\) +6\.\d\d", moments)
    assert moments.count("▸") == 1
    assert "chunked loss" in text[text.index("alive at other moments") :]


def test_the_legend_gives_values_that_never_vary() -> None:
    """A letter with one value shows it; one that varies shows none."""
    legend = plain()[: plain().index("static:")]
    assert re.search(r"^  D +hidden size +4,096$", legend, re.MULTILINE)
    assert re.search(r"^  r +rank of the adapters +16$", legend, re.MULTILINE)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Over many models and runs."""
    for forecast in (*varied_forecasts()[::37], serve_forecast(DEVICE)):
        assert max(map(len, explain_text(forecast, Style(width=width)).splitlines())) <= width
