"""A forecast for human eyes."""

from collections.abc import Sequence
from dataclasses import dataclass

from vramcast.domain.forecast import Forecast
from vramcast.domain.program import Answer
from vramcast.render.assumed import assumed_lines, unmodelled_lines
from vramcast.render.bar import bar_lines
from vramcast.render.headline import question, verdict_words
from vramcast.render.modules import modules_lines
from vramcast.render.style import Style
from vramcast.render.terms_table import terms_lines
from vramcast.render.width import flow, ljust, width_of, wrap
from vramcast.units import gib

_GAP = "  "
_COMMAND = "    "
_CONTINUED = " \\"
_STATUS_COLORS = {"fits": 36, "tight": 178, "does not fit": 166}


@dataclass(frozen=True, slots=True)
class NextStep:
    """A command that is worth typing, in pieces that stay together, and what it gives."""

    command: tuple[str, ...]
    why: str


def forecast_text(forecast: Forecast, style: Style, steps: Sequence[NextStep] = ()) -> str:
    """The whole answer, verdict first, in lines that fit the width."""
    parts = (
        headline_lines(forecast, style),
        bar_lines(forecast, style),
        terms_lines(forecast, style),
        modules_lines(forecast, style),
        tiers_lines(forecast, style),
        assumed_lines(forecast.assumptions, style),
        unmodelled_lines(forecast.unmodelled, style),
        _step_lines(steps, style),
    )
    return style.finish([line for part in parts if part for line in ("", *part)][1:])


def headline_lines(forecast: Forecast, style: Style) -> list[str]:
    """The verdict and the question it answers."""
    asked = wrap(question(forecast, style.say), style.width)
    return [*verdict_lines(forecast, style), *(style.dim(line) for line in asked)]


def verdict_lines(forecast: Answer, style: Style) -> list[str]:
    """The verdict, its status in colour."""
    status, rest = verdict_words(forecast)
    lines = wrap(style.say(status + rest), style.width)
    word = style.say(status) if status else ""
    before, found, after = lines[0].partition(word) if word else (lines[0], "", "")
    if found:
        lines[0] = before + style.bold(style.tint(found, _STATUS_COLORS[status])) + after
    else:
        lines = [style.bold(line) for line in lines]
    return lines


def tiers_lines(forecast: Answer, style: Style) -> list[str]:
    """The three tiers with what each counts, and the moment of the peak."""
    tiers = forecast.tiers
    band = f"; {gib(tiers.low)} to {gib(tiers.high)} is likely" if gib(tiers.low) != gib(tiers.high) else ""
    rows = [
        ("allocated", gib(tiers.allocated), "live tensors (torch.cuda.max_memory_allocated)"),
        ("reserved", gib(tiers.reserved), "what the caching allocator holds"),
        ("process", gib(tiers.process), f"what nvidia-smi shows{band}"),
    ]
    rows.append(("peak at", "", forecast.peak.name))
    left = max(width_of(style.say(name)) for name, _, _ in rows) + 2
    lines: list[str] = []
    for name, size, meaning in rows:
        lead = f"  {ljust(style.say(name), left)}{size:>7}  "
        lines += wrap(style.say(meaning), style.width, first=lead, rest=" " * width_of(lead))
    return lines


def _step_lines(steps: Sequence[NextStep], style: Style) -> list[str]:
    if not steps:
        return []
    lines = [style.bold(style.say("next"))]
    for step in steps:
        lines += wrap(style.say(step.why), style.width, first="  ", rest="  ")
        lines += command_lines(step.command, style.width)
    return lines


def command_lines(command: Sequence[str], width: int) -> list[str]:
    """A command that a shell takes as it stands, also where it has to continue on the next line."""
    rows = [" ".join(row) for row in flow(command, width - len(_CONTINUED), gap=" ", indent=_COMMAND + _GAP)]
    return [
        f"{_COMMAND if index == 0 else _COMMAND + _GAP}{row}{_CONTINUED if index < len(rows) - 1 else ''}"
        for index, row in enumerate(rows)
    ]
