"""A forecast for human eyes."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.made_forecasts import DEVICE, SMALL, qlora_forecast, serve_forecast
from vramcast.app.predict import predict
from vramcast.domain.forecast import Category, Forecast
from vramcast.render.language import speaker
from vramcast.render.palette import BAND, LOOKS
from vramcast.render.style import Style
from vramcast.render.terminal import NextStep, forecast_text
from vramcast.render.width import width_of
from vramcast.units import GIB

LONG = NextStep(("vramcast predict", f"./models/{'deep/' * 4}config.json", "--lora-targets q_proj,k_proj"), "why " * 40)
VARIED: dict[str, Callable[[], Forecast]] = {
    "qlora": qlora_forecast,
    "no device": lambda: qlora_forecast(None),
    "does not fit": lambda: qlora_forecast(SMALL),
    "long names": lambda: qlora_forecast(replace(DEVICE, label="NVIDIA " + "Extremely Long Edition " * 6)),
    "serve": serve_forecast,
    "bare": lambda: predict("8B", method="full", precision="master-fp16"),
    "mixture": lambda: predict("mixtral-8x7b", method="full", device="h100", loss="stock", attention="eager"),
    "hybrid": lambda: predict("jamba-v0.1", method="lora", device="a100"),
    "tiny": lambda: predict("gpt2", method="full", seq_len=1, optimizer="sgd", memory=GIB),
    "cache": lambda: predict("llama-3.1-8b", method="serve", max_num_seqs=64, device="rtx-4090"),
}


def plain(forecast: Forecast, width: int = 80, steps: tuple[NextStep, ...] = ()) -> str:
    """The text without colours."""
    return forecast_text(forecast, Style(width=width), steps)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("name", VARIED)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    """Whatever the run, the device and the width."""
    lines = plain(VARIED[name](), width, (LONG,)).splitlines()
    unbreakable = [line for line in lines if "deep/" in line or "--lora-targets all-linear" in line]
    assert all(width_of(line) <= width for line in lines if line not in unbreakable)


@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (qlora_forecast, ["fits NVIDIA GeForce RTX 4090: needs 6.6 GiB (6.6–7.4), 16.9 GiB of 23.5 to spare"]),
        (
            lambda: qlora_forecast(SMALL),
            ["does not fit a device with 6.00 GiB: needs 6.6 GiB (6.6–7.4), 0.6 GiB more than", "its 6.0"],
        ),
        (
            lambda: qlora_forecast(replace(SMALL, usable=7 * GIB)),
            ["tight on a device with 6.00 GiB: needs 6.6 GiB (6.6–7.4), 0.4 GiB of 7.0 to", "spare"],
        ),
        (lambda: qlora_forecast(None), ["needs 6.6 GiB (6.6–7.4)"]),
    ],
)
def test_the_verdict_leads(make: Callable[[], Forecast], lines: list[str]) -> None:
    """Status, device, need, band, and what is left or missing."""
    assert plain(make()).splitlines()[: len(lines)] == lines


def test_near_the_edge_the_verdict_shows_one_more_digit() -> None:
    """A headroom of some MiB is not rounded to nothing."""
    forecast = qlora_forecast(None)
    device = replace(DEVICE, usable=forecast.tiers.process - 20 * 2**20)
    assert "needs 6.60 GiB (6.57–7.44), 0.02 GiB more than its 6.58" in plain(qlora_forecast(device), 120)


def test_every_byte_is_in_the_table() -> None:
    """Each term once, and the total is the process tier."""
    text = plain(qlora_forecast(), 120)
    table = text[text.index("at the peak") : text.index("allocated")]
    assert table.count("\n") == 1 + 8 + 1 + 1 + 1
    assert re.search(r"total +6\.60 +100%", table)
    assert "gradients         gradients" in table
    assert "<0.01 " in table


def test_the_bar_is_as_long_as_the_shares_say() -> None:
    """Cells of each category, the band, and the tick at the capacity."""
    forecast = qlora_forecast(SMALL)
    bar = next(line for line in plain(forecast).splitlines() if line.startswith("█"))
    columns = 79
    assert len(bar) == 80
    assert bar.index("│") == round(6 * GIB * columns / forecast.tiers.high)
    share = forecast.by_category()[Category.PARAMETERS] / forecast.tiers.high
    assert bar.count("█") == pytest.approx(share * columns, abs=1)
    assert bar.endswith(BAND.glyph)


def test_categories_differ_without_colour() -> None:
    """Each has a glyph of its own, in Unicode and in ASCII, and none is the band's or the tick's."""
    for glyphs in ([look.glyph for look in LOOKS.values()], [look.ascii for look in LOOKS.values()]):
        assert len(set(glyphs)) == len(glyphs) == len(Category)
        assert not set(glyphs) & {BAND.glyph, BAND.ascii, "│", "|"}
    assert len({look.color for look in LOOKS.values()}) == len(Category)


@pytest.mark.parametrize(("language", "word"), [("en", "fits"), ("zh", "放得下")])
def test_the_verdict_is_coloured_wherever_it_stands(language: str, word: str) -> None:
    """English leads with it, Chinese puts it behind the device; nothing else of the line is coloured."""
    line = forecast_text(qlora_forecast(), Style(color=True, say=speaker(language)), ()).splitlines()[0]
    assert re.findall(r"\x1b\[1m\x1b\[38;5;36m(.+?)\x1b", line) == [word]
    assert line.count("\x1b") == 4


def test_colour_changes_nothing_but_colour() -> None:
    """Without its escape sequences the coloured text is the plain one."""
    forecast = qlora_forecast()
    colored = forecast_text(forecast, Style(color=True), ())
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain(forecast)


def test_ascii_keeps_every_column() -> None:
    """Where no block letters can be shown, each letter is spelt by one."""
    forecast = qlora_forecast()
    spelt = forecast_text(forecast, Style(ascii=True), ()).splitlines()
    assert all(line.isascii() and "?" not in line for line in spelt)
    assert [len(line) for line in spelt] == [len(line) for line in plain(forecast).splitlines()]


def test_a_command_that_continues_is_still_one_command() -> None:
    """Joined at the backslashes it is what was asked for, and no flag is torn from its value."""
    step = NextStep(("vramcast predict", "llama-3.1-8b", *(f"--option-{n} value" for n in range(12))), "")
    text = plain(qlora_forecast(), 60, (step,))
    command = text[text.index("    vramcast predict") :]
    assert command.replace(" \\\n", "").split() == " ".join(step.command).split()
    assert not re.search(r"--option-\d+ \\$", command, re.MULTILINE)
