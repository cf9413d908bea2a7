"""Number formats as a table, as a page for one of them, and as JSON."""

import json
from collections.abc import Callable, Sequence
from textwrap import TextWrapper, wrap
from typing import Any

from vramcast.domain.number_format import FormatKind, NumberFormat, Scale
from vramcast.render.numbers import power_of_two, short_number
from vramcast.render.table import Column, bold, fit_columns, table_lines
from vramcast.units import format_bytes

SCHEMA_VERSION = 1

_LEGEND = (
    "s/e/m: bits of sign, exponent, mantissa. Bits: those that carry information. In memory: bits a value takes, its "
    "share of the scales included. Where a format has scales, its limits are relative to them."
)
_TF32 = 'TF32 has 19 significant bits but lies in memory as 32: "19 bits" is not its footprint.'
_NEXT = "vramcast dtypes NAME shows all of one format; --demo shows FP16 against BF16 on real values."
_LABEL_WIDTH = 22
_EXAMPLE = (4096, 4096)


def formats_table(formats: Sequence[NumberFormat], *, width: int, color: bool) -> str:
    """One line a format, as many columns as `width` holds, and what the figures mean."""
    columns = _columns(formats)
    kept = fit_columns(columns, width)
    lines = table_lines(kept, color=color)
    dropped = [column.one_line_title for column in columns if column not in kept]
    notes = [_LEGEND, _TF32, f"Left out at this width: {', '.join(dropped)}." if dropped else "", _NEXT]
    return "\n".join([*lines, "", *(line for note in notes for line in wrap(note, width))])


def format_page(one: NumberFormat, *, width: int, color: bool) -> str:
    """Everything known about one format, with its source."""
    lines = [bold(one.label, color=color)]
    for label, text in _facts(one):
        indent = f"  {label}".ljust(_LABEL_WIDTH)
        lines += TextWrapper(
            width, initial_indent=indent, subsequent_indent=" " * _LABEL_WIDTH, break_on_hyphens=False
        ).wrap(text)
    return "\n".join(lines)


def formats_json(formats: Sequence[NumberFormat]) -> str:
    """The formats with every figure, stored and computed."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "formats": [_record(one) for one in formats]}, indent=2)


def _columns(formats: Sequence[NumberFormat]) -> tuple[Column, ...]:
    def cells(cell: Callable[[NumberFormat], str]) -> tuple[str, ...]:
        return tuple(cell(one) for one in formats)

    def numbers(title: str, figure: Callable[[NumberFormat], float | None], gives_way: int) -> Column:
        return Column(title=title, cells=cells(lambda one: short_number(figure(one))), right=True, gives_way=gives_way)

    return (
        Column(title="format", cells=cells(lambda one: one.name)),
        Column(title="s/e/m", cells=cells(_layout), gives_way=8),
        Column(title="bits", cells=cells(lambda one: str(one.significant_bits)), right=True),
        Column(title="in\nmemory", cells=cells(lambda one: _trimmed(one.bits_per_value, 3)), right=True),
        Column(title="bytes", cells=cells(lambda one: _trimmed(one.bytes_per_value, 5)), right=True, gives_way=2),
        numbers("largest", lambda one: one.largest, 7),
        numbers("smallest\nnormal", lambda one: one.smallest_normal, 4),
        numbers("sub-\nnormal", lambda one: one.smallest_subnormal, 3),
        numbers("epsilon", lambda one: one.epsilon, 6),
        Column(title="digits", cells=cells(_digits), right=True, gives_way=5),
        Column(title="used for", cells=cells(lambda one: one.use), gives_way=1),
    )


def _facts(one: NumberFormat) -> list[tuple[str, str]]:
    rows, columns = _EXAMPLE
    tensor = format_bytes(one.bytes_for(rows * columns))
    facts = [
        ("name", one.name),
        ("also called", ", ".join(one.aliases)),
        ("kind", f"{one.kind}, with scales" if one.scales else str(one.kind)),
        ("layout", _layout_in_words(one)),
        ("significant", f"{one.significant_bits} bits"),
        ("in memory", f"{_trimmed(one.bits_per_value, 6)} bits = {_trimmed(one.bytes_per_value, 6)} B a value"),
        *(("scale", _scale_in_words(scale)) for scale in one.scales),
        (f"{rows} × {columns} tensor", tensor),
        ("largest", _limit(one.largest, one)),
        ("lowest", _limit(one.lowest, one) if one.lowest != -one.largest else ""),
        ("smallest normal", _limit(one.smallest_normal, one)),
        ("smallest subnormal", _limit(one.smallest_subnormal, one)),
        ("epsilon", power_of_two(one.epsilon) if one.epsilon else ""),
        ("decimal digits", _digits(one) if one.decimal_digits else ""),
        ("infinity", _infinity(one)),
        ("levels", " ".join(f"{level:.4g}" for level in one.levels)),
        ("used for", one.use),
        ("note", one.note),
        ("source", one.source),
        ("checked", one.checked),
    ]
    return [(label, text) for label, text in facts if text]


def _record(one: NumberFormat) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label,
        "aliases": list(one.aliases),
        "kind": one.kind.value,
        "sign_bits": one.sign_bits,
        "exponent_bits": one.exponent_bits,
        "mantissa_bits": one.mantissa_bits,
        "significant_bits": one.significant_bits,
        "storage_bits": one.storage_bits,
        "scales": [{"block": scale.block, "bits": scale.bits, "format": scale.format} for scale in one.scales],
        "bits_per_value": one.bits_per_value,
        "bytes_per_value": one.bytes_per_value,
        "largest": one.largest,
        "lowest": one.lowest,
        "smallest_normal": one.smallest_normal,
        "smallest_subnormal": one.smallest_subnormal,
        "epsilon": one.epsilon,
        "decimal_digits": one.decimal_digits,
        "has_infinity": one.has_infinity,
        "levels": list(one.levels),
        "use": one.use,
        "note": one.note,
        "source": one.source,
        "checked": one.checked,
    }


def _layout(one: NumberFormat) -> str:
    if one.kind is FormatKind.CODEBOOK:
        return "table"
    return f"{one.sign_bits}/{one.exponent_bits}/{one.mantissa_bits}"


def _layout_in_words(one: NumberFormat) -> str:
    match one.kind:
        case FormatKind.CODEBOOK:
            return f"a {one.storage_bits}-bit index into {len(one.levels)} levels"
        case FormatKind.INTEGER:
            return f"two's complement, {one.storage_bits} bits"
        case FormatKind.FLOAT:
            bits = f"{one.sign_bits} sign, {one.exponent_bits} exponent, {one.mantissa_bits} mantissa bits"
            return f"{bits}; exponent bias {one.bias}"


def _scale_in_words(scale: Scale) -> str:
    share = "one for the whole tensor" if scale.block is None else f"one for {scale.block} values"
    return f"{scale.bits} bits ({scale.format}), {share}"


def _limit(value: float | None, one: NumberFormat) -> str:
    if value is None:
        return ""
    return f"{power_of_two(value)}{', times the scale' if one.scales else ''}"


def _infinity(one: NumberFormat) -> str:
    if one.kind is not FormatKind.FLOAT:
        return ""
    return "yes" if one.has_infinity else "no"


def _digits(one: NumberFormat) -> str:
    return "–" if one.decimal_digits is None else f"{one.decimal_digits:.1f}"


def _trimmed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
