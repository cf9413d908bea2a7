"""The JSON form of a forecast."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.made_forecasts import DEVICE, SMALL, qlora_forecast, serve_forecast
from vramcast.app.predict import predict
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Forecast
from vramcast.domain.report import report_of
from vramcast.render.json import SCHEMA, read_report, report_schema, write_report

VARIED: tuple[Callable[[], Forecast], ...] = (
    qlora_forecast,
    lambda: qlora_forecast(SMALL),
    serve_forecast,
    lambda: predict("llama-3.1-8b", device="rtx-4090"),
    lambda: predict("8B", method="full", precision="master-fp16"),
    lambda: predict("mixtral-8x7b", method="lora", memory=80 * 2**30),
    lambda: predict("llama-3.1-8b", method="serve", kv_format="fp8-e4m3", max_num_seqs=3),
)


def shipped() -> str:
    """The schema that comes with the package."""
    return files("vramcast.render").joinpath(*SCHEMA.split("/")).read_text(encoding="utf-8")


def written(forecast: Forecast, folder: Path) -> Path:
    """The forecast's report in a file."""
    path = folder / "report.json"
    path.write_text(write_report(report_of(forecast)), encoding="utf-8")
    return path


@pytest.mark.parametrize("make", VARIED)
def test_what_is_written_reads_back_unchanged(make: Callable[[], Forecast], tmp_path: Path) -> None:
    """read ∘ write is the identity on reports."""
    forecast = make()
    assert read_report(written(forecast, tmp_path)) == report_of(forecast)


@pytest.mark.parametrize("make", VARIED)
def test_what_is_written_keeps_to_the_shipped_schema(make: Callable[[], Forecast]) -> None:
    """An independent validator accepts real reports, and refuses one that lacks a key."""
    schema = json.loads(shipped())
    record = json.loads(write_report(report_of(make())))
    jsonschema.validate(record, schema)
    del record["tiers"]["low"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema)


def test_the_shipped_schema_is_the_generated_one() -> None:
    """A change of the report that forgets its schema is seen here; what the file must hold is in the message."""
    generated = json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
    assert shipped() == generated, generated


def test_the_schema_describes_what_is_written() -> None:
    """Every key of a real report is in the schema, and every key the schema requires is in the report."""
    record = json.loads(write_report(report_of(qlora_forecast())))
    schema = report_schema()
    assert (
        list(record) == list(schema["properties"]) == [*schema["required"], "engine"]
    )  # reports of 0.1 have no engine
    assert list(record["terms"][0]) == schema["$defs"]["ReportTerm"]["required"]
    left = DEVICE.usable - record["tiers"]["process"]
    assert record["verdict"] == {"status": "fits", "fits": True, "capacity": DEVICE.usable, "headroom": left}
    assert record["peak"] == {"phase": "backward", "instant": "backward of block 32 of 32 (recomputing)"}


def test_json_can_be_kept_to_ascii() -> None:
    """For a terminal that shows nothing else; the data are the same."""
    report = report_of(qlora_forecast())
    plain = write_report(report, ascii_only=True)
    assert plain.isascii()
    assert not write_report(report).isascii()
    assert json.loads(plain) == json.loads(write_report(report))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda record: record.pop("tiers"), "report.json: not a vramcast report: tiers: Field required"),
        (lambda record: record.update(schema_version=2), "schema_version: Input should be 1"),
        (lambda record: record["terms"][0].update(bytes="many"), "terms.0.bytes: "),
        (lambda record: record["terms"][0].update(category="memory"), "terms.0.category: "),
        (lambda record: record["tiers"].update(process=1), "report: the terms do not sum to the tiers"),
        (lambda record: record.clear(), "schema_version: Field required"),
    ],
)
def test_a_file_that_is_no_report_is_an_input_error(
    change: Callable[[dict[str, Any]], object], what: str, tmp_path: Path
) -> None:
    """One line that names the place, one that says what a report is."""
    path = written(qlora_forecast(), tmp_path)
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_report(path)
    assert what in caught.value.what
    assert "--json" in caught.value.hint
