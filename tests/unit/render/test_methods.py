"""The four ways to train, side by side."""

import json

import pytest

from vramcast.app.methods import MethodRow, compare_methods
from vramcast.render.language import speaker, translated
from vramcast.render.methods import methods_json, methods_text
from vramcast.render.style import Style
from vramcast.render.width import width_of


@pytest.fixture(scope="module")
def rows() -> tuple[MethodRow, ...]:
    """Of the 8B of the classic account."""
    return compare_methods("8B")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("model", ["8B", "llama-3.1-8b", "mixtral-8x7b"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_is_wider_than_the_terminal(width: int, model: str, language: str) -> None:
    """In both languages, whatever the model."""
    text = methods_text(compare_methods(model), model, Style(width=width, say=speaker(language)))
    assert max(map(width_of, text.splitlines())) <= width


def test_the_classic_account(rows: tuple[MethodRow, ...]) -> None:
    """16Φ of 8B is 128 GB and 119.21 GiB: 2Φ weights, 4Φ masters, 8Φ moments, 2Φ gradients."""
    text = " ".join(methods_text(rows, "8B", Style(width=80)).split())
    assert "16Φ is 128.00 GB, or 119.21 GiB." in text
    assert "full, mixed precision (FP32 master) 16 119.21 16.00 119.21 " in text
    for line in ("2.00Φ 14.90 weights", "4.00Φ 29.80 FP32", "8.00Φ 59.60 adamw", "2.00Φ 14.90 gradients"):
        assert f" {line}" in text


def test_json_holds_the_same_figures(rows: tuple[MethodRow, ...]) -> None:
    """In bytes, with the parts of both accounts."""
    record = json.loads(methods_json(rows, "8B"))
    assert record["parameters"] == 8 * 10**9
    mixed = record["methods"][0]
    assert (mixed["rule_bytes"], mixed["exact_bytes"]) == (128 * 10**9, 128 * 10**9)
    assert sum(part["bytes"] for part in mixed["parts"]) == mixed["exact_bytes"]
    assert [one["rule_of_thumb"] for one in record["methods"]] == [16, 8, 2, 0.5]


@pytest.mark.parametrize("model", ["8B", "llama-3.1-8b", "jamba-v0.1"])
def test_everything_has_chinese(model: str) -> None:
    """Every text that is said has an entry."""
    heard: set[str] = set()

    def say(text: str) -> str:
        heard.add(text)
        return text

    methods_text(compare_methods(model), model, Style(say=say))
    assert [text for text in heard if translated(text, "zh") is None] == []
