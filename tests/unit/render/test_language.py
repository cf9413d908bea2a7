"""Chinese for every sentence that rules and renderers write."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import vramcast.render.language
from tests.made_forecasts import DEVICE, SMALL, qlora_forecast, serve_forecast
from tests.varied_forecasts import varied_forecasts
from vramcast.catalog.number_formats import all_formats
from vramcast.domain.forecast import Category, Forecast, Phase
from vramcast.render.explain import explain_text
from vramcast.render.language import speaker, translated
from vramcast.render.letters import LETTERS
from vramcast.render.style import Style
from vramcast.render.terminal import NextStep, forecast_text
from vramcast.render.width import width_of

TABLE = Path(vramcast.render.language.__file__).parent / "data" / "zh.json"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Names that Chinese texts print as they are.
SAME = re.compile(
    r"(LoRA|QLoRA|MLP|logits|(log-)?softmax|sigmoid|log-sum-exp|(MX|NV)?(FP|BF|INT|NF|TF)\d+( E\dM\d)?|E8M0|source: .*)"
)


class Listener:
    """Remembers every text that a renderer says."""

    def __init__(self) -> None:
        self.heard: set[str] = set()

    def say(self, text: str) -> str:
        """The text as it is."""
        self.heard.add(text)
        return text


def heard(render: Callable[[Forecast, Style], str], forecasts: list[Forecast]) -> set[str]:
    """Everything that a renderer says of these forecasts."""
    listener = Listener()
    for forecast in forecasts:
        render(forecast, Style(say=listener.say))
    return listener.heard


def novel(forecasts: Iterable[Forecast]) -> list[Forecast]:
    """Those that have a text which none before had; numbers do not count."""
    known: set[str] = set()
    kept = []
    for forecast in forecasts:
        terms = [*forecast.terms, *(term for instant in forecast.instants for term in instant.terms)]
        texts = {
            *(text for term in terms for text in (term.label, term.ignores, *(part.label for part in term.parts))),
            *(instant.name for instant in forecast.instants),
            *(assumption.reason for assumption in forecast.assumptions),
            *forecast.unmodelled,
        }
        found = {re.sub(r"\d+", "#", text) for text in texts}
        if found - known:
            kept.append(forecast)
        known |= found
    return kept


def untranslated(texts: set[str]) -> list[str]:
    """Texts without an entry, or whose entry has no Chinese although they are no mere name."""
    return sorted(
        text
        for text in texts
        if not (found := translated(text, "zh"))
        or not (CHINESE.search(found) or SAME.fullmatch(text.partition(" (")[0]))
    )


def test_everything_that_is_said_of_any_forecast_has_chinese() -> None:
    """Labels, parts, instants, reasons, notes, what is ignored, fixed words: over every architecture and kind of run."""
    forecasts = [*novel(varied_forecasts()), qlora_forecast(), qlora_forecast(SMALL), serve_forecast(DEVICE)]
    assert len(forecasts) > 100
    assert untranslated(heard(explain_text, forecasts) | heard(forecast_text, forecasts)) == []


def test_the_vocabulary_has_chinese() -> None:
    """Categories, phases, letters and number formats, whether or not a forecast uses them."""
    words = {*Category, *Phase, *LETTERS.values(), *(one.label for one in all_formats())}
    assert untranslated({str(word) for word in words}) == []


def test_next_steps_have_chinese() -> None:
    """The reasons that the command line gives for its next commands."""
    assert (
        untranslated(
            {
                "every formula, with letters and with numbers",
                "does it fit? vramcast gpus lists the devices",
                "--recompute full: needs 20.7 GiB, fits",
                "--recompute full: needs 23.4 GiB, tight",
                "--recompute full: needs 30.1 GiB, still 6.6 GiB too much",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("parameters", "参数"),
        ("fits RTX 4090: needs 7 GiB, 16 GiB of 23 to spare", "RTX 4090 放得下：需要 7 GiB，可用 23 GiB，还余 16 GiB"),
        ("tight on T4: needs 9 GiB, 1 GiB of 10 to spare", "T4 勉强放得下：需要 9 GiB，可用 10 GiB，只余 1 GiB"),
        ("does not fit T4: needs 9 GiB, 1 GiB more than its 8", "T4 放不下：需要 9 GiB，可用 8 GiB，还差 1 GiB"),
        (
            "fits a device with 9.00 GiB: needs 7 GiB, 2 GiB of 9 to spare",
            "9.00 GiB 的设备放得下：需要 7 GiB，可用 9 GiB，还余 2 GiB",
        ),
        ("frozen weights (NF4, double quantisation, rest half precision)", "冻结的权重（NF4 双重量化，其余为半精度）"),
        ("frozen weights (BF16)", "冻结的权重（BF16）"),
        ("backward of block 3 of 32 (gated product)", "第 3 块（共 32 块）的反向传播（门控乘积）"),
        ("attention (flash): input of q_proj, k_proj", "注意力（flash）：q_proj, k_proj 的输入"),
        ("widest block of one forward pass (recurrent layer (mamba2))", "一次前向传播中最宽的块（循环层（mamba2））"),
        ("gpt2.safetensors is 1.00 MiB shorter than its header says", "gpt2.safetensors 比文件头所述短 1.00 MiB"),
    ],
)
def test_patterns(english: str, chinese: str) -> None:
    """Numbers and names are kept, text inside text is translated in turn, no space stands between Chinese letters."""
    assert translated(english, "zh") == chinese


def test_what_has_no_entry_stays_english() -> None:
    """A missing entry shows, and breaks nothing; English itself is not looked up."""
    assert translated("a sentence nobody wrote", "zh") is None
    assert speaker("zh")("a sentence nobody wrote") == "a sentence nobody wrote"
    assert translated("attention (flash): a sentence nobody wrote", "zh") is None
    assert speaker("en")("parameters") == "parameters"


def test_no_entry_stands_twice() -> None:
    """JSON would silently keep the last one."""
    pairs: list[tuple[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"), object_pairs_hook=list)
    assert len({key for key, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_chinese_keeps_to_the_terminal(width: int) -> None:
    """A Chinese letter takes two columns, and no line takes more than there are."""
    style = Style(width=width, say=speaker("zh"))
    step = NextStep(("vramcast explain", "llama-3.1-8b"), "every formula, with letters and with numbers")
    for text in (explain_text(qlora_forecast(), style), forecast_text(qlora_forecast(), style, (step,))):
        assert max(map(width_of, text.splitlines())) <= width
        assert CHINESE.search(text)
