"""What changed, as text and as JSON."""

import json

import pytest

from tests.made_forecasts import SMALL, qlora_forecast, serve_forecast
from vramcast.app.predict import predict
from vramcast.compare.difference import Difference, difference
from vramcast.domain.report import report_of
from vramcast.render.compare import difference_json, difference_text, signed
from vramcast.render.language import speaker
from vramcast.render.style import Style
from vramcast.render.width import width_of
from vramcast.units import gib

NAMES = ("qlora.json", "llama-3.1-8b --method serve --max-model-len 8192 --kv-format fp8-e4m3 " + "x" * 30)


def made() -> Difference:
    """From the made QLoRA step to the made served model."""
    return difference(report_of(qlora_forecast()), report_of(serve_forecast()))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_is_wider_than_the_terminal(width: int, language: str) -> None:
    """In both languages."""
    text = difference_text(made(), NAMES, Style(width=width, say=speaker(language)))
    assert max(map(width_of, text.splitlines())) <= width


def test_terms_stand_with_both_sizes_and_the_change() -> None:
    """A removed term has no second size, an added one no first."""
    text = " ".join(difference_text(made(), NAMES, Style(width=100)).split())
    assert f"needs {gib(made().delta)} GiB more " in text
    assert "adapters (rank 16, half precision) 0.08 – −0.08 removed" in text
    assert "key and value cache (FP8 E4M3) – 0.50 +0.50 added" in text
    assert "method qlora → serve" in text
    assert "peak at backward of block 32 of 32 (recomputing) → decode at full length" in text


def test_equal_forecasts_say_so() -> None:
    """No table of nothing."""
    report = report_of(qlora_forecast())
    text = difference_text(difference(report, report), ("a", "b"), Style())
    assert "needs as much\n" in text
    assert "terms that changed" not in text
    assert "what differs" not in text


def test_json_has_every_change_in_bytes() -> None:
    """Deltas that sum, kinds, causes."""
    found = difference(
        report_of(predict("llama-3.1-8b", micro_batch=1)), report_of(predict("llama-3.1-8b", micro_batch=2))
    )
    record = json.loads(difference_json(found))
    assert sum(term["delta"] for term in record["terms"]) == record["delta"] == found.delta
    assert {"option": "micro_batch", "before": 1, "after": 2} in record["options"]
    grown = next(term for term in record["terms"] if term["label"].startswith("inputs of blocks"))
    assert grown["kind"] == "grown"
    assert grown["causes"] == [{"letter": "B", "before": 1, "after": 2}]


def test_verdicts_stand_beside_the_needs() -> None:
    """Where a device is known."""
    found = difference(report_of(qlora_forecast()), report_of(qlora_forecast(SMALL)))
    first, second, *_ = difference_text(found, ("a", "b"), Style()).splitlines()
    assert first == "before  6.60 GiB, fits (rtx-4090): a"
    assert second == "after   6.60 GiB, does not fit (small): b"


def test_signed() -> None:
    """A sign on every change; nothing is nought."""
    assert [signed(size) for size in (2**30, -(2**29), 0, 1024, -1024)] == [
        "+1.00",
        "−0.50",
        "0.00",
        "<+0.01",
        "<−0.01",
    ]
