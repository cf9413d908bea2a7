"""The demonstration of number formats as text and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from math import isfinite
from textwrap import wrap
from typing import Any

from vramcast.domain.rounding import QuantizationError, Rounding
from vramcast.render.dtypes import SCHEMA_VERSION
from vramcast.render.numbers import short_number
from vramcast.render.table import Column, bold, fit_columns, table_lines

_DIGITS = 5
_HOW = "Computed now: FP16 by numpy, BF16 by rounding the bits of FP32. Errors are shares of the weights' own RMS."


def demo_text(roundings: Sequence[Rounding], errors: Sequence[QuantizationError], *, width: int, color: bool) -> str:
    """FP16 against BF16 topic by topic, then 4-bit formats on normal weights."""
    lines = table_lines(fit_columns(_columns(roundings), width), color=color)
    header, rows = lines[0], lines[1:]
    parts = [header]
    for topic, group in groupby(zip(roundings, rows, strict=True), key=lambda pair: pair[0].topic):
        parts += ["", bold(topic, color=color), *(row for _, row in group)]
    return "\n".join([*parts, "", *_error_lines(errors, color=color), "", *wrap(_HOW, width)])


def demo_json(roundings: Sequence[Rounding], errors: Sequence[QuantizationError]) -> str:
    """The same figures; an infinity is the string `inf`, since JSON has no number for it."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "roundings": [_plain(asdict(one)) for one in roundings],
        "quantization_errors": [asdict(error) for error in errors],
    }
    return json.dumps(record, indent=2, allow_nan=False)


def _columns(roundings: Sequence[Rounding]) -> tuple[Column, ...]:
    return (
        Column(title="value", cells=tuple(f"  {one.expression}" for one in roundings)),
        Column(title="FP16", cells=tuple(short_number(one.fp16, _DIGITS) for one in roundings), right=True),
        Column(title="BF16", cells=tuple(short_number(one.bf16, _DIGITS) for one in roundings), right=True),
        Column(title="", cells=tuple(one.note for one in roundings), gives_way=1),
    )


def _error_lines(errors: Sequence[QuantizationError], *, color: bool) -> list[str]:
    first = errors[0]
    title = f"RMS error of {first.values:,} normal weights, a scale for each {first.block}"
    columns = (
        Column(title="", cells=tuple(f"  {error.format}" for error in errors)),
        Column(title="RMS", cells=tuple(f"{error.relative_rms:.1%}" for error in errors), right=True),
    )
    return [bold(title, color=color), *table_lines(columns, color=False)[1:]]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, float) and not isfinite(value) else value for key, value in record.items()
    }
