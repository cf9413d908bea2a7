"""A forecast as JSON: written, read back with every field checked, and the schema that both keep to."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vramcast.domain.errors import InputError
from vramcast.domain.report import Report

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "schema/forecast.schema.json"  # beside this file
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_HINT = "a report is what vramcast predict MODEL … --json prints"


def write_report(report: Report, *, ascii_only: bool = False) -> str:
    """The report as JSON; `read_report` gives it back unchanged."""
    return json.dumps(asdict(report), indent=2, ensure_ascii=ascii_only, allow_nan=False)


def read_report(path: "Path") -> Report:
    """
    The report in a JSON file.

    Raises:
        InputError: the file cannot be read, is no JSON, or is not a report of this version.
    """
    from pydantic import TypeAdapter, ValidationError

    from vramcast.sources.json_file import read_json

    name = path.name
    record = read_json(path, name)
    try:
        return TypeAdapter(Report).validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")
        raise InputError(f"{name}: not a vramcast report: {message}", _HINT) from None


def report_schema() -> dict[str, Any]:
    """The JSON Schema of a report, made from its classes; `SCHEMA` is this, written out."""
    from pydantic import TypeAdapter

    schema = _tidy(TypeAdapter(Report).json_schema())
    return {"$schema": _DRAFT, "title": "vramcast forecast", **schema}


def _tidy(node: Any) -> Any:
    """The schema without titles that only repeat a key, and descriptions as running text without their `Raises`."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].partition("Raises:")[0].split())
    return tidy
