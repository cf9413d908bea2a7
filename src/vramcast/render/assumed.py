"""What the user did not say, and by which flag to say it; and what the answer leaves out."""

from collections.abc import Iterable, Sequence

from vramcast.domain.forecast import Assumption
from vramcast.render.style import Style
from vramcast.render.width import flow, wrap

WITHOUT_FLAG = ("autocast", "adapter_fp32", "kbit_upcast")
_INDENT = "    "


def as_flags(assumptions: Sequence[Assumption]) -> list[str]:
    """The assumptions as the flags that would change them; behind them, in brackets, what only a framework decides."""
    flags = [f"--{one.option.replace('_', '-')} {one.value!s}" for one in assumptions if one.option not in WITHOUT_FLAG]
    decided = [f"{one.option} {one.value!s}" for one in assumptions if one.option in WITHOUT_FLAG]
    return [*flags, f"({', '.join(decided)})"] if decided else flags


def by_reason(assumptions: Iterable[Assumption]) -> dict[str, list[Assumption]]:
    """Assumptions with the same reason together, in the order in which the reasons first appear."""
    groups: dict[str, list[Assumption]] = {}
    for assumption in assumptions:
        groups.setdefault(assumption.reason, []).append(assumption)
    return groups


def assumed_lines(assumptions: Sequence[Assumption], style: Style) -> list[str]:
    """One paragraph a reason; flags are never broken."""
    if not assumptions:
        return []
    lines = _heading("assumed (each flag changes it, --stack what is in brackets)", style)
    for reason, group in by_reason(assumptions).items():
        first, *rest = flow([style.say(f"{reason}:"), *as_flags(group)], style.width, gap=" ", indent=_INDENT)
        lines += wrap(" ".join(first), style.width, first="  ", rest=_INDENT)
        lines += [_INDENT + " ".join(row) for row in rest]
    return lines


def unmodelled_lines(unmodelled: Sequence[str], style: Style) -> list[str]:
    """One entry a note."""
    if not unmodelled:
        return []
    notes = (line for note in unmodelled for line in wrap(style.say(note), style.width, first="  - ", rest=_INDENT))
    return [*_heading("not counted", style), *notes]


def _heading(text: str, style: Style) -> list[str]:
    return [style.bold(line) for line in wrap(style.say(text), style.width)]
