"""The four ways to train, side by side: the rule of thumb, the exact account, and what the rule leaves out."""

import json
from collections.abc import Callable, Sequence
from typing import Protocol

from vramcast.domain.forecast import Part
from vramcast.render.numbers import gib_cell
from vramcast.render.style import Style
from vramcast.render.table import Column, fit_columns, table_lines
from vramcast.render.width import wrap
from vramcast.units import gib

SCHEMA_VERSION = 1
_MOMENT = "at: "
_NARROW = 60


class MethodRow(Protocol):
    """One way to train, as the use case gives it; sizes in bytes, multiples in bytes for each parameter."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def rule_of_thumb(self) -> float: ...
    @property
    def rule_bytes(self) -> int: ...
    @property
    def exact_bytes(self) -> int: ...
    @property
    def exact_multiple(self) -> float: ...
    @property
    def parts(self) -> tuple[Part, ...]: ...
    @property
    def left_out(self) -> tuple[Part, ...]: ...


def methods_text(rows: Sequence[MethodRow], model: str, style: Style) -> str:
    """The table, the account of every method, and what each rule of thumb leaves out."""
    first = rows[0]
    title = wrap(style.say(f"four ways to train {model}: Φ = {first.parameters:,} parameters"), style.width)
    scale = (
        "The rule of thumb and the exact account of weights, gradients and optimizer states: bytes for each of Φ "
        "parameters, and GiB of 1,024³ bytes: "
        f"{first.rule_of_thumb:g}Φ is {first.rule_bytes / 10**9:,.2f} GB, or {gib(first.rule_bytes)} GiB."
    )
    lines = [*map(style.bold, title), "", *_table(rows, style), "", *wrap(style.say(scale), style.width)]
    lines += ["", *_heading("the exact account", style)]
    for row in rows:
        lines += [f"  {style.say(row.label)}", *_parts(row, row.parts, style)]
    lines += ["", *_heading("what the rule of thumb leaves out", style)]
    for row in rows:
        lines += [f"  {style.say(row.label)}", *_parts(row, row.left_out, style)]
    return style.finish(lines)


def methods_json(rows: Sequence[MethodRow], model: str) -> str:
    """The same figures in bytes."""
    methods = [
        {
            "name": row.name,
            "label": row.label,
            "rule_of_thumb": row.rule_of_thumb,
            "rule_bytes": row.rule_bytes,
            "exact_multiple": row.exact_multiple,
            "exact_bytes": row.exact_bytes,
            "parts": [_record(part) for part in row.parts],
            "left_out": [_record(part) for part in row.left_out],
        }
        for row in rows
    ]
    record = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "parameters": rows[0].parameters,
        "methods": methods,
    }
    return json.dumps(record, indent=2)


def _table(rows: Sequence[MethodRow], style: Style) -> list[str]:
    def column(title: str, cell: Callable[[MethodRow], str], gives_way: int = 0) -> Column:
        return Column(title=title, cells=tuple(map(cell, rows)), right=True, gives_way=gives_way)

    names = tuple(row.name if style.width < _NARROW else style.say(row.label) for row in rows)
    columns = (
        Column(title=style.say("method"), cells=names),
        column(f"{style.say('rule')}\n×Φ", lambda row: f"{row.rule_of_thumb:g}"),
        column("GiB", lambda row: gib_cell(row.rule_bytes), 1),
        column(f"{style.say('exact')}\n×Φ", lambda row: f"{row.exact_multiple:.2f}"),
        column("GiB", lambda row: gib_cell(row.exact_bytes)),
    )
    return table_lines(fit_columns(columns, style.width), color=style.color)


def _heading(text: str, style: Style) -> list[str]:
    return [style.bold(line) for line in wrap(style.say(text), style.width)]


def _parts(row: MethodRow, parts: Sequence[Part], style: Style) -> list[str]:
    """One line a part: its multiple of Φ, its GiB, its name, and for what lives only while the step runs, when."""
    lines: list[str] = []
    for part in parts:
        if part.bytes:
            lead = f"  {part.bytes / row.parameters:>6.2f}Φ {gib_cell(part.bytes):>8}  "
            moment = f" ({part.formula})" if part.formula.startswith(_MOMENT) else ""
            lines += wrap(style.say(f"{part.label}{moment}"), style.width, first=lead, rest=" " * len(lead))
    return lines


def _record(part: Part) -> dict[str, str | int]:
    return {"label": part.label, "formula": part.formula, "bytes": part.bytes}
