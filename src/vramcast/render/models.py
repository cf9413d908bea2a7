"""Models of the catalog as a table, as a page for one of them, and as JSON; architectures as a table and as JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from textwrap import TextWrapper, wrap
from typing import Any

from vramcast.render.layers import layer_lines
from vramcast.render.table import Column, bold, fit_columns, table_lines
from vramcast.sources.known_model import Architecture, KnownModel
from vramcast.units import KIB, format_bytes

SCHEMA_VERSION = 1

_LEGEND = (
    "Parameters are counted by closed form and agree with the published count. Active: those that one token of a mixture "
    "visits. KiB a token: BF16 key and value cache of one sequence, until a sliding window is full. K: 1,024 tokens."
)
_NEXT = (
    "vramcast models NAME shows all of one model, with its source; --architectures lists the types with a closed form."
)
_LABEL_WIDTH = 20
_DASH = "–"
_LONGEST_LIST = 4
_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def models_table(models: Sequence[KnownModel], *, width: int, color: bool) -> str:
    """One line a model, as many columns as `width` holds, and what the figures mean."""
    columns = _columns(models)
    kept = fit_columns(columns, width)
    dropped = [column.one_line_title for column in columns if column not in kept]
    notes = [_LEGEND, f"Left out at this width: {', '.join(dropped)}." if dropped else "", _NEXT]
    return "\n".join([*table_lines(kept, color=color), "", *(line for note in notes for line in wrap(note, width))])


def model_page(one: KnownModel, *, width: int, color: bool) -> str:
    """Everything known about one model, with its source."""
    lines = [bold(one.row.name, color=color)]
    for label, text in _facts(one):
        wrapper = TextWrapper(width, break_on_hyphens=False, subsequent_indent=" " * _LABEL_WIDTH)
        wrapper.initial_indent = f"  {label}".ljust(_LABEL_WIDTH)
        lines += wrapper.wrap(text)
    return "\n".join(lines)


def models_json(models: Sequence[KnownModel]) -> str:
    """The models with every figure, sizes in bytes, and their configurations."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "models": [_record(one) for one in models]}, indent=2)


def architectures_table(architectures: Sequence[Architecture], *, width: int, color: bool) -> str:
    """One line a model type: how many models of the catalog are of it, and which, as far as `width` allows."""
    types = tuple(one.model_type for one in architectures)
    counts = tuple(str(len(one.models) or _DASH) for one in architectures)
    first = (Column(title="model type", cells=types), Column(title="models", cells=counts, right=True))
    room = width - sum(column.width + 2 for column in first)
    names = tuple(_as_many_as_fit(one.models, room) for one in architectures)
    columns = fit_columns((*first, Column(title="in the catalog", cells=names, gives_way=1)), width)
    have = "model type has" if len(types) == 1 else "model types have"
    note = f"{len(types)} {have} a closed form: a config.json of such a type can be read."
    return "\n".join([*table_lines(columns, color=color), "", *wrap(note, width)])


def architectures_json(architectures: Sequence[Architecture]) -> str:
    """The model types, each with the names of its models in the catalog."""
    records = [{"model_type": one.model_type, "models": list(one.models)} for one in architectures]
    return json.dumps({"schema_version": SCHEMA_VERSION, "architectures": records}, indent=2)


def _columns(models: Sequence[KnownModel]) -> tuple[Column, ...]:
    def column(title: str, cell: Callable[[KnownModel], str], *, gives_way: int = 0, right: bool = True) -> Column:
        return Column(title=title, cells=tuple(map(cell, models)), right=right, gives_way=gives_way)

    return (
        column("name", lambda one: one.row.name, right=False),
        column("architecture", lambda one: one.row.model_type, gives_way=4, right=False),
        column("para-\nmeters", lambda one: _short(one.model.parameters)),
        column("active", lambda one: _short(one.active_parameters), gives_way=7),
        column("layers", lambda one: str(one.model.num_layers), gives_way=3),
        column("hidden", lambda one: str(one.model.hidden_size), gives_way=2),
        column("KiB a\ntoken", lambda one: _kib(one.token_bytes), gives_way=6),
        column("con-\ntext", lambda one: _tokens(one.model.max_positions), gives_way=5),
        column("published", lambda one: one.row.published, gives_way=1),
    )


def _facts(one: KnownModel) -> list[tuple[str, str]]:
    row, model = one.row, one.model
    twice = ", the tied output head counted twice, as the checkpoint holds it" if row.head_twice else ""
    facts = [
        ("also called", ", ".join(row.aliases)),
        ("architecture", _architecture(row.config, row.model_type)),
        ("parameters", f"{model.parameters:,}"),
        ("active", f"{one.active_parameters:,} for each token" if one.active_parameters else ""),
        ("published", f"{row.published}{twice}"),
        ("number format", model.dtype),
        *(("layers" if not index else "", line) for index, line in enumerate(layer_lines(model))),
        ("hidden size", f"{model.hidden_size:,}"),
        ("vocabulary", f"{model.vocab_size:,}, output head {'tied' if model.tied_head else 'of its own'}"),
        ("context", f"{model.max_positions:,} tokens" if model.max_positions else ""),
        ("cache", f"{format_bytes(one.token_bytes)} for each token, in BF16" if one.token_bytes else ""),
        ("state", f"{format_bytes(one.state_bytes)} for each sequence" if one.state_bytes else ""),
        ("left out", "; ".join(model.notes)),
        ("config", ", ".join(_settings(row.config))),
        ("source", row.source),
        ("checked", row.checked),
        ("next", f"vramcast predict {row.name}"),
    ]
    return [(label, text) for label, text in facts if text]


def _record(one: KnownModel) -> dict[str, Any]:
    row, model = one.row, one.model
    return {
        "name": row.name,
        "aliases": list(row.aliases),
        "family": row.family,
        "architecture": row.model_type,
        "parameters": model.parameters,
        "active_parameters": one.active_parameters,
        "published": row.published,
        "published_parameters": row.parameters,
        "published_exactly": row.exact,
        "published_with_tied_head_twice": row.head_twice,
        "layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "vocab_size": model.vocab_size,
        "tied_head": model.tied_head,
        "max_positions": model.max_positions,
        "dtype": model.dtype,
        "cache_bytes_per_token": one.token_bytes,
        "state_bytes_per_sequence": one.state_bytes,
        "left_out": list(model.notes),
        "config": row.config,
        "source": row.source,
        "checked": row.checked,
    }


def _architecture(config: Mapping[str, Any], model_type: str) -> str:
    outer = config["model_type"]
    return model_type if outer == model_type else f"{model_type}, the text model of {outer}"


def _settings(config: Mapping[str, Any]) -> list[str]:
    """The configuration's entries in words; a long list is given as its length, for its content is among the layers."""
    settings = []
    for key, value in config.items():
        if isinstance(value, dict):
            settings.append(f"{key} ({', '.join(_settings(value))})")
        elif isinstance(value, list) and len(value) > _LONGEST_LIST:
            settings.append(f"{key} ({len(value)} entries)")
        else:
            settings.append(f"{key} {value if isinstance(value, str) else json.dumps(value)}")
    return settings


def _as_many_as_fit(names: Sequence[str], room: int) -> str:
    """The names in a row, ending in a count of those for which there is no room."""
    shown = ", ".join(names)
    kept = len(names)
    while kept > 1 and len(shown) > room:
        kept -= 1
        shown = f"{', '.join(names[:kept])}, {len(names) - kept} more"
    return shown


def _short(count: int | None) -> str:
    """A parameter count in three significant digits, such as `8.03B`; a dash for None."""
    if count is None:
        return _DASH
    scale, unit = next(((scale, unit) for scale, unit in _SCALES if count >= 0.9995 * scale), _SCALES[-1])
    value = count / scale
    return f"{value:.{max(0, 3 - len(str(int(value + 0.0005))))}f}{unit}"


def _kib(size: int) -> str:
    value = size / KIB
    if not value:
        return _DASH
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _tokens(count: int | None) -> str:
    if count is None:
        return _DASH
    return f"{count // KIB}K" if count % KIB == 0 else str(count)
