"""Two forecasts, and what changed from the first to the second."""

import json
from dataclasses import asdict

from vramcast.compare.difference import Difference, TermChange
from vramcast.domain.report import Report, ReportTerm
from vramcast.domain.run_words import Plain
from vramcast.render.formula import number
from vramcast.render.numbers import gib_cell
from vramcast.render.palette import LOOKS
from vramcast.render.style import Style
from vramcast.render.width import ljust, rjust, width_of, wrap
from vramcast.units import gib

SCHEMA_VERSION = 1
_NARROW = 72
_WIDE_COLUMN, _NARROW_COLUMN = 10, 8
_DASH = "–"
_SIDES = ("before", "after")
_NOUGHT = "0.00"


def difference_text(found: Difference, names: tuple[str, str], style: Style) -> str:
    """Both needs and the net change; the options that differ; every term that changed, with the cause; the tiers."""
    parts = (
        [
            *_need("before", names[0], found.before, style),
            *_need("after", names[1], found.after, style),
            *_net(found, style),
        ],
        _options(found, style),
        _terms(found, style),
        _tiers(found, style),
    )
    return style.finish([line for part in parts if part for line in ("", *part)][1:])


def difference_json(found: Difference) -> str:
    """The same figures in bytes."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "delta": found.delta,
        "options": [asdict(option) for option in found.options],
        "peaks": [asdict(found.before.peak), asdict(found.after.peak)],
        "tiers": found.tier_deltas(),
        "categories": found.by_category(),
        "terms": [_record(change) for change in found.changes],
    }
    return json.dumps(record, indent=2)


def signed(size: int) -> str:
    """A change in GiB with its sign: `+1.06`, `−0.50`; what rounds to nothing says so."""
    if not size:
        return _NOUGHT
    sign = "+" if size > 0 else "−"
    shown = gib_cell(abs(size))
    return f"{sign}{shown}" if not shown.startswith("<") else f"<{sign}{shown[1:]}"


def _need(word: str, name: str, report: Report, style: Style) -> list[str]:
    text = f"{gib(report.tiers.process)} GiB"
    if report.verdict and report.device:
        text += f", {style.say(report.verdict.status)} ({report.device.name})"
    lead = ljust(style.say(word), max(width_of(style.say(one)) for one in _SIDES) + 2)
    return wrap(f"{text}: {name}", style.width, first=lead, rest=" " * width_of(lead))


def _net(found: Difference, style: Style) -> list[str]:
    text = (
        f"needs {gib(abs(found.delta))} GiB {'more' if found.delta > 0 else 'less'}" if found.delta else "needs as much"
    )
    return [style.bold(line) for line in wrap(style.say(text), style.width)]


def _options(found: Difference, style: Style) -> list[str]:
    """Options with both values, one a line; then, together, those that only one of the runs has."""
    both = [one for one in found.options if None not in (one.before, one.after)]
    rows = [(one.option, f"{_value(one.before)} → {_value(one.after)}") for one in both]
    if found.before.peak != found.after.peak:
        moments = style.say(found.before.peak.instant), style.say(found.after.peak.instant)
        rows.append((style.say("peak at"), " → ".join(moments)))
    only_before = ", ".join(f"{one.option} {_value(one.before)}" for one in found.options if one.after is None)
    only_after = ", ".join(f"{one.option} {_value(one.after)}" for one in found.options if one.before is None)
    rows += [
        (style.say(word), text) for word, text in (("only before", only_before), ("only after", only_after)) if text
    ]
    if not rows:
        return []
    left = max(width_of(name) for name, _ in rows) + 2
    lines = [style.bold(style.say("what differs"))]
    for name, text in rows:
        lead = f"  {ljust(name, left)}"
        lines += wrap(text, style.width, first=lead, rest=" " * width_of(lead))
    return lines


def _value(value: Plain) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _terms(found: Difference, style: Style) -> list[str]:
    changed = [change for change in found.changes if change.delta]
    if not changed:
        return []
    names = ["" if style.width < _NARROW else style.say(change.category) for change in changed]
    left = max(map(width_of, names)) + 2
    room = style.width - left - 2 - 3 * _column(style)
    lines = _heading(style)
    for index, (change, name) in enumerate(zip(changed, names, strict=True)):
        look = LOOKS[change.category]
        new = not index or changed[index - 1].category is not change.category
        glyph = style.tint(look.ascii if style.ascii else look.glyph, look.color)
        lead = f"{glyph} {ljust(name, left - 2)}" if new else " " * left
        first, *rest = [*wrap(style.say(change.label), room), *_causes(change, room, style)]
        figures = _figures(_size(change.before), _size(change.after), signed(change.delta), style=style)
        lines.append(f"{lead}  {ljust(first, room)}{figures}")
        lines += [f"{' ' * left}  {line}" for line in rest]
    before, after = found.before.tiers.process, found.after.tiers.process
    total = ljust(style.say("total"), room) + _figures(gib(before), gib(after), signed(found.delta), style=style)
    return [*lines, f"{' ' * left}  {style.bold(total)}"]


def _heading(style: Style) -> list[str]:
    """The title and the heads of its columns, on one line where they fit."""
    title, space = f"  {style.say('terms that changed, GiB')}", style.width - 3 * _column(style)
    heads = _figures(*(style.say(word) for word in (*_SIDES, "change")), style=style)
    if width_of(title) > space:
        return [style.bold(title), style.bold(" " * space + heads)]
    return [style.bold(ljust(title, space) + heads)]


def _column(style: Style) -> int:
    return _WIDE_COLUMN if style.width >= _NARROW else _NARROW_COLUMN


def _figures(*texts: str, style: Style) -> str:
    return "".join(rjust(text, _column(style)) for text in texts)


def _causes(change: TermChange, room: int, style: Style) -> list[str]:
    """Why: the letters whose values differ; that the term came or went; else that its formula is another one."""
    if change.kind in ("added", "removed"):
        text = style.say(change.kind)
    elif change.causes:
        text = "; ".join(f"{letter} {number(before)} → {number(after)}" for letter, before, after in change.causes)
    else:
        text = style.say(f"was: {change.before.label}") if change.before else ""
    return [style.dim(line) for line in wrap(text, room, first="  ", rest="  ")]


def _size(term: ReportTerm | None) -> str:
    return gib_cell(term.bytes) if term else _DASH


def _tiers(found: Difference, style: Style) -> list[str]:
    lines = []
    for name in ("allocated", "reserved", "process"):
        before, after = getattr(found.before.tiers, name), getattr(found.after.tiers, name)
        figures = _figures(gib(before), gib(after), signed(after - before), style=style)
        lines.append(ljust(f"  {style.say(name)}", style.width - width_of(figures)) + figures)
    return lines


def _record(change: TermChange) -> dict[str, object]:
    return {
        "category": change.category,
        "label": change.label,
        "kind": change.kind,
        "before": change.before.bytes if change.before else None,
        "after": change.after.bytes if change.after else None,
        "delta": change.delta,
        "causes": [{"letter": letter, "before": before, "after": after} for letter, before, after in change.causes],
    }
