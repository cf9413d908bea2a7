"""The notebook's view."""

from html.parser import HTMLParser

import pytest

from tests.made_forecasts import SMALL, qlora_forecast, serve_forecast
from vramcast.domain.forecast import Forecast
from vramcast.render.html import forecast_html
from vramcast.render.palette import LOOKS
from vramcast.units import gib

VOID = {"meta", "br", "hr", "img"}


class Checker(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """It must be the last one that was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        self.text.append(data)


def parsed(forecast: Forecast) -> Checker:
    """The forecast's HTML, every tag closed."""
    checker = Checker()
    checker.feed(forecast_html(forecast))
    checker.close()
    assert checker.open == []
    return checker


@pytest.mark.parametrize("forecast", [qlora_forecast(), qlora_forecast(SMALL), serve_forecast()])
def test_it_is_static_and_loads_nothing(forecast: Forecast) -> None:
    """No script, no handler, no address of anything outside."""
    page = parsed(forecast)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "http" not in "".join(value or "" for _, value in page.attributes)


def test_the_numbers_are_there() -> None:
    """Verdict, every term, the tiers."""
    forecast = qlora_forecast()
    text = " ".join(parsed(forecast).text)
    tiers = forecast.tiers
    assert "fits" in text
    assert "needs 6.6 GiB (6.6–7.4), 16.9 GiB of 23.5 to spare" in text
    assert "frozen weights (NF4, double quantisation, rest half precision)" in text
    assert f"allocated {gib(tiers.allocated)} · reserved {gib(tiers.reserved)} · process 6.60 GiB" in text


def test_the_bar_has_a_stretch_for_each_category_and_says_what_it_shows() -> None:
    """Colours and patterns in it, a label for who cannot see it."""
    forecast = qlora_forecast()
    page = forecast_html(forecast)
    for category in forecast.by_category():
        assert f'fill="{LOOKS[category].hex}"' in page
    assert 'aria-label="fits NVIDIA GeForce RTX 4090: needs' in page
    assert page.count("<pattern ") == len(forecast.by_category()) - 1  # parameters are plain


def test_names_cannot_break_out() -> None:
    """A model may be called anything."""
    forecast = qlora_forecast()
    object.__setattr__(forecast.model, "name", "<script>alert(1)</script>")
    assert "<script" not in forecast_html(forecast)


def test_a_notebook_finds_it() -> None:
    """The method that IPython looks for, and one line for a plain prompt."""
    forecast = qlora_forecast()
    assert forecast._repr_html_() == forecast_html(forecast)
    assert repr(forecast) == "<Forecast llama-3.1-8b: 6.60 GiB (6.57–7.44), fits rtx-4090>"
    assert repr(serve_forecast()).startswith("<Forecast llama-3.1-8b: ")
