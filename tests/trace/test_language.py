"""What the trace says has Chinese."""

import re

import pytest

from tests.unit.render.test_language import heard, untranslated
from vramcast.app.predict import predict
from vramcast.render.explain import explain_text
from vramcast.render.terminal import forecast_text

MODULE = re.compile(r"[\w.*]+")  # a path in the model, the same in every language
RUNS = (
    {"method": "full", "accum_steps": 2, "stack": "torch"},
    {"method": "qlora", "evaluate": True, "save": True},
    {"method": "serve", "prefill_tokens": 1024},
)


@pytest.mark.filterwarnings("ignore")
def test_everything_that_a_traced_forecast_says_has_chinese() -> None:
    """Terms, moments, modules and notes, of training and of serving."""
    forecasts = [predict("qwen3-0.6b", None, "rtx-4090", engine="trace", **run) for run in RUNS]
    texts = untranslated(heard(explain_text, forecasts) | heard(forecast_text, forecasts))
    assert [text for text in texts if not MODULE.fullmatch(text)] == []
