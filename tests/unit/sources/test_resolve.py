"""Which of the ways to name a model a name is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.safetensors_writer import write_safetensors
from tests.unit.sources.models import CONFIG, PARAMETERS, TENSORS
from vramcast.catalog.models import ModelRow
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.sources import resolve
from vramcast.sources.resolve import load_model

ROWS = tuple(
    ModelRow(
        name=name,
        aliases=(f"org/{name.title()}",),
        family="tiny",
        config=CONFIG,
        published=f"{PARAMETERS:,}",
        source="a paper",
        checked="2026-11-24",
    )
    for name in ("tiny-llama-1b", "tiny-llama-2b", "other")
)


@pytest.fixture(autouse=True)
def _catalog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A catalog of three models, an empty working directory, and a hub that says whom it was asked for."""
    by_name = {word.lower(): row for row in ROWS for word in (row.name, *row.aliases)}

    def hub(repo: str, revision: str | None, *, offline: bool) -> ModelSpec:
        return bare_model(f"hub:{repo}@{revision} offline={offline}", 1000)

    monkeypatch.setattr("vramcast.catalog.models.all_rows", lambda: ROWS)
    monkeypatch.setattr(resolve, "find_model_row", lambda name: by_name.get(name.lower()))
    monkeypatch.setattr("vramcast.sources.hub.read_hub_model", hub)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["tiny-llama-1b", "TINY-LLAMA-1B", "org/Tiny-Llama-1B", "  tiny-llama-1b\n"])
def test_catalog_answers_for_names_and_hub_ids(name: str) -> None:
    """A name, whatever its case, and a hub id are answered from the catalog, with its source; the hub is not asked."""
    model = load_model(name)
    assert (model.name, model.parameters, model.source) == ("tiny-llama-1b", PARAMETERS, "a paper")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("org/unknown", "hub:org/unknown@None offline=False"),
        ("org/unknown@v1.0", "hub:org/unknown@v1.0 offline=False"),
        ("org/unknown@refs/pr/1", "hub:org/unknown@refs/pr/1 offline=False"),
        ("org/Tiny-Llama-1B@main", "hub:org/Tiny-Llama-1B@main offline=False"),
    ],
)
def test_other_ids_and_revisions_go_to_the_hub(name: str, asked: str) -> None:
    """What the catalog does not have, and any stated revision, is a question for the hub."""
    assert load_model(name).name == asked


def test_offline_is_passed_on() -> None:
    """Who wants no network gets none."""
    assert load_model("org/unknown", offline=True).name.endswith("offline=True")


def test_existing_paths_come_first(tmp_path: Path) -> None:
    """A folder called like a model is the model; files are told apart by their names."""
    folder = tmp_path / "org" / "Tiny-Llama-1B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 600}))
    assert load_model("org/Tiny-Llama-1B").vocab_size == 600
    assert load_model(str(folder / "config.json")).vocab_size == 600
    path = write_safetensors(folder / "model.safetensors", TENSORS)
    assert load_model(str(path)).parameters == PARAMETERS


def test_folder_without_a_model_does_not_hide_the_catalog(tmp_path: Path) -> None:
    """A folder of notes called `other` is not what is meant by that name; without a model of that name, it is told."""
    (tmp_path / "other").mkdir()
    (tmp_path / "another").mkdir()
    assert load_model("other").source == "a paper"
    with pytest.raises(InputError, match=r"'another': the folder has neither a config\.json"):
        load_model("another")


def test_size_is_a_model() -> None:
    """A bare size is read after the names."""
    assert load_model("8B").parameters == 8 * 10**9


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tiny-llama-1", "did you mean tiny-llama-1b or tiny-llama-2b? else a model is"),
        ("zzzzzzzz", "a model is a catalog"),
    ],
)
def test_unknown_name_tells_the_closest_and_the_ways(name: str, hint: str) -> None:
    """A slip of the finger is told what was near, and every other way to name a model."""
    with pytest.raises(InputError, match=f"no model called '{name}'") as error:
        load_model(name)
    assert error.value.hint.startswith(hint)
    assert all(way in error.value.hint for way in ("vramcast models", "org/name", "folder", "config.json", "8B"))


@pytest.mark.parametrize("name", ["./missing", "/missing/config.json", "missing.safetensors", "../x/y"])
def test_missing_path_is_told_as_such(name: str) -> None:
    """What looks like a path is not taken for a hub id."""
    with pytest.raises(InputError, match="no such file or folder"):
        load_model(name)


def test_device_is_not_a_model() -> None:
    """A device exists, and is still no file; reading it could block for ever."""
    with pytest.raises(InputError, match="neither a file nor a folder"):
        load_model("/dev/zero")


def test_unprintable_path_gives_a_printable_name(tmp_path: Path) -> None:
    """A path that no terminal could print is spelled out in the model's name."""
    path = tmp_path / "a\nb.json"
    path.write_text(json.dumps(CONFIG))
    assert load_model(str(path)).name.endswith("a\\nb.json")
    path.write_text('{"model_type": "no\\u001bsuch"}')
    with pytest.raises(UnsupportedError) as error:
        load_model(str(path))
    assert error.value.what.isprintable()


def test_well_known_hub_id_needs_no_network_and_nothing_heavy() -> None:
    """Start-up time is a feature: the real catalog answers for the hub id of Llama 3.1 with the standard library only."""
    code = (
        "import sys; from vramcast.sources.resolve import load_model\n"
        "assert load_model('meta-llama/Llama-3.1-8B').parameters == 8_030_261_248; load_model('8B')\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(process.stdout.split())
    heavy = {
        "huggingface_hub",
        "numpy",
        "pydantic",
        "yaml",
        "rich",
        "click",
        "torch",
        "difflib",
        "decimal",
        "asyncio",
        "http",
    }
    assert "vramcast" in loaded
    assert not loaded & heavy
