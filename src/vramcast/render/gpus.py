"""Devices as a table, as a page for one of them, and as JSON."""

import json
from collections.abc import Callable, Sequence
from textwrap import TextWrapper, wrap
from typing import Any

from vramcast.domain.device import Device
from vramcast.render.exactness import mark
from vramcast.render.table import Column, bold, fit_columns, table_lines
from vramcast.units import GIB, MIB, gib

SCHEMA_VERSION = 1

_UNITS = (
    "GiB, MiB: powers of 1,024. GB/s: 10^9 B/s. BF16: dense TFLOP/s with FP32 accumulation. Usable: what a process can "
    "hold, its context included."
)
_MARKS = "No mark: a published reading (drivers differ by up to 0.2 GiB); ≈ fitted to a measurement; ~ modelled by a rule; ? nobody measured it."
_NEXT = "vramcast gpus NAME shows all of one device, with the source of every figure."
_LABEL_WIDTH = 20
_DASH = "–"


def devices_table(devices: Sequence[Device], *, width: int, color: bool) -> str:
    """One line a device, as many columns as `width` holds, and what the figures mean."""
    columns = _columns(devices)
    kept = fit_columns(columns, width)
    dropped = [column.one_line_title.strip() for column in columns if column not in kept]
    notes = [_UNITS, _MARKS, f"Left out at this width: {', '.join(dropped)}." if dropped else "", _NEXT]
    return "\n".join([*table_lines(kept, color=color), "", *(line for note in notes for line in wrap(note, width))])


def device_page(one: Device, kin: Sequence[Device], *, width: int, color: bool) -> str:
    """Everything known about one device, with sources; `kin` are devices whose names hold the same word."""
    lines = [bold(line, color=color) for line in wrap(one.label, width)]
    for label, text in _facts(one, [other.name for other in kin if other != one]):
        wrapper = TextWrapper(width, break_on_hyphens=False, subsequent_indent=" " * _LABEL_WIDTH)
        wrapper.initial_indent = f"  {label}".ljust(_LABEL_WIDTH)
        lines += wrapper.wrap(text)
    return "\n".join(lines)


def devices_json(devices: Sequence[Device]) -> str:
    """The devices with every figure, in bytes, bytes per second and FLOP/s."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "devices": [_record(one) for one in devices]}, indent=2)


def _columns(devices: Sequence[Device]) -> tuple[Column, ...]:
    def column(title: str, cell: Callable[[Device], str], *, gives_way: int = 0, right: bool = True) -> Column:
        return Column(title=title, cells=tuple(map(cell, devices)), right=right, gives_way=gives_way)

    return (
        column("name", lambda one: one.name, right=False),
        column("memory\nGiB", lambda one: gib(one.memory, 0)),
        column("usable\nGiB ", lambda one: gib(one.usable) + mark(one.usable_exactness)),
        column("GB/s", lambda one: _giga(one.bandwidth), gives_way=4),
        column("BF16\nTFLOP/s", lambda one: _tera(dict(one.flops).get("bf16")), gives_way=5),
        column("compute\ncapability", _capability, gives_way=2),
        column("context\nMiB ", lambda one: f"{one.context / MIB:,.0f}{mark(one.context_exactness)}", gives_way=3),
        column("device", lambda one: one.label, gives_way=1, right=False),
    )


def _facts(one: Device, kin: Sequence[str]) -> list[tuple[str, str]]:
    usable = f"{_size(one.usable)}, {one.usable_exactness}: {one.usable_source}"
    context = f"{one.context / MIB:,.0f} MiB, {one.context_exactness}: {one.context_source}"
    facts = [
        ("name", one.name),
        ("also called", ", ".join(one.aliases)),
        ("memory as sold", f"{_size(one.memory)}{', shared with the CPU' if one.unified else ''}"),
        ("usable", usable),
        ("context", context),
        ("left for tensors", f"{gib(one.usable - one.context)} GiB"),
        ("bandwidth", f"{_giga(one.bandwidth)} GB/s" if one.bandwidth else ""),
        ("links", f"{_giga(one.link)} GB/s, both directions together: {one.link_kind}" if one.link else ""),
        ("dense TFLOP/s", " · ".join(f"{name} {_tera(rate)}" for name, rate in one.flops) or "not given"),
        ("capability", _capability(one) if one.capability else ""),
        ("compute units" if one.vendor == "AMD" else "multiprocessors", str(one.multiprocessors or "")),
        ("note", one.note),
        ("source", one.source),
        ("checked", one.checked),
        ("see also", ", ".join(kin)),
    ]
    return [(label, text) for label, text in facts if text]


def _record(one: Device) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label,
        "aliases": list(one.aliases),
        "vendor": one.vendor,
        "memory_bytes": one.memory,
        "usable_bytes": one.usable,
        "usable_exactness": one.usable_exactness.value,
        "usable_source": one.usable_source,
        "context_bytes": one.context,
        "context_exactness": one.context_exactness.value,
        "context_source": one.context_source,
        "unified": one.unified,
        "capability": list(one.capability) if one.capability else None,
        "multiprocessors": one.multiprocessors,
        "bandwidth_bytes_per_second": one.bandwidth,
        "link_bytes_per_second": one.link,
        "link_kind": one.link_kind,
        "dense_flops_per_second": dict(one.flops),
        "note": one.note,
        "source": one.source,
        "checked": one.checked,
    }


def _size(size: int) -> str:
    return f"{size / GIB:.2f} GiB ({size:,} B)"


def _giga(rate: int | None) -> str:
    return f"{rate / 10**9:,.0f}" if rate else _DASH


def _tera(rate: float | None) -> str:
    if rate is None:
        return _DASH
    tera = rate / 10**12
    return f"{tera:,.0f}" if tera >= 10**3 else f"{tera:.1f}"


def _capability(one: Device) -> str:
    return ".".join(map(str, one.capability)) if one.capability else _DASH
