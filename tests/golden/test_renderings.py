"""Every form of an answer, on forecasts made by hand: what changes here is a renderer, never a rule."""

from dataclasses import dataclass

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.made_forecasts import DEVICE, SMALL, qlora_forecast, serve_forecast
from vramcast.compare.difference import difference
from vramcast.domain.forecast import Forecast, Part
from vramcast.domain.report import report_of
from vramcast.render.compare import difference_json, difference_text
from vramcast.render.explain import explain_text
from vramcast.render.html import forecast_html
from vramcast.render.json import write_report
from vramcast.render.language import LANGUAGES, speaker
from vramcast.render.markdown import forecast_markdown
from vramcast.render.methods import methods_json, methods_text
from vramcast.render.style import Style
from vramcast.render.terminal import NextStep, forecast_text

STEPS = (
    NextStep(
        ("vramcast predict", "llama-3.1-8b", "--method qlora", "--gpu small", "--recompute full", "--micro-batch 1"),
        "--micro-batch 1: needs 5.1 GiB, fits",
    ),
    NextStep(("vramcast explain", "llama-3.1-8b"), "every formula, with letters and with numbers"),
)
ANSWERS: dict[str, Forecast] = {
    "fits": qlora_forecast(),
    "does not fit": qlora_forecast(SMALL),
    "no device": serve_forecast(),
    "served": serve_forecast(DEVICE),
}


@dataclass(frozen=True)
class Way:
    """One row of the four-way table."""

    name: str
    label: str
    parameters: int
    rule_of_thumb: float
    rule_bytes: int
    exact_bytes: int
    exact_multiple: float
    parts: tuple[Part, ...]
    left_out: tuple[Part, ...]


WAYS = (
    Way(
        name="full-bf16",
        label="full, pure BF16",
        parameters=8 * 10**9,
        rule_of_thumb=8.0,
        rule_bytes=64 * 10**9,
        exact_bytes=64 * 10**9,
        exact_multiple=8.0,
        parts=(Part("weights (BF16)", "s·Φ", 16 * 10**9), Part("gradients", "s·Φ_done", 16 * 10**9)),
        left_out=(Part("activations, at most", "at: backward of the loss", 3 * 10**9),),
    ),
    Way(
        name="qlora",
        label="QLoRA on NF4 weights",
        parameters=8 * 10**9,
        rule_of_thumb=0.5,
        rule_bytes=4 * 10**9,
        exact_bytes=4126953132,
        exact_multiple=0.5158691415,
        parts=(Part("frozen weights (NF4, double quantisation, rest half precision)", "q·Φ_q", 4126953132),),
        left_out=(Part("CUDA context", "context", 524288000),),
    ),
)


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("name", ANSWERS)
def test_terminal(name: str, width: int, snapshot: SnapshotAssertion) -> None:
    """The human form, narrow and wide."""
    assert forecast_text(ANSWERS[name], Style(width=width), STEPS) == snapshot


def test_terminal_in_colour(snapshot: SnapshotAssertion) -> None:
    """Where the escape sequences stand."""
    assert forecast_text(ANSWERS["does not fit"], Style(color=True), STEPS) == snapshot


def test_terminal_in_ascii(snapshot: SnapshotAssertion) -> None:
    """What an old terminal shows."""
    assert forecast_text(ANSWERS["fits"], Style(ascii=True), STEPS) == snapshot


@pytest.mark.parametrize("language", LANGUAGES)
def test_explain(language: str, snapshot: SnapshotAssertion) -> None:
    """The derivation in each language."""
    assert explain_text(ANSWERS["fits"], Style(say=speaker(language))) == snapshot


@pytest.mark.parametrize("language", LANGUAGES)
def test_methods(language: str, snapshot: SnapshotAssertion) -> None:
    """The ways to train in each language."""
    assert methods_text(WAYS, "8B", Style(say=speaker(language))) == snapshot


@pytest.mark.parametrize("language", LANGUAGES)
def test_compare(language: str, snapshot: SnapshotAssertion) -> None:
    """A difference in each language."""
    found = difference(report_of(ANSWERS["fits"]), report_of(ANSWERS["served"]))
    assert (
        difference_text(found, ("qlora.json", "llama-3.1-8b --method serve"), Style(say=speaker(language))) == snapshot
    )


def test_forms_for_machines_and_pages(snapshot: SnapshotAssertion) -> None:
    """JSON, Markdown, HTML."""
    forecast = ANSWERS["does not fit"]
    found = difference(report_of(forecast), report_of(ANSWERS["served"]))
    assert write_report(report_of(forecast)) == snapshot
    assert difference_json(found) == snapshot
    assert methods_json(WAYS, "8B") == snapshot
    assert forecast_markdown(forecast, "vramcast predict llama-3.1-8b") == snapshot
    assert forecast_html(forecast) == snapshot
