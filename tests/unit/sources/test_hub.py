"""Models on the hub, against a hub on the loopback device. Each question is a process: the settings are its environment."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.safetensors_writer import write_safetensors, write_shards
from tests.unit.sources.hub_server import COMMIT, Hub, serve
from tests.unit.sources.models import CONFIG, PARAMETERS, TENSORS
from vramcast.units import MIB

ASK = """
import json, sys
from vramcast.domain.errors import VramcastError
from vramcast.sources.hub import read_hub_model
repo, revision, offline = json.loads(sys.argv[1])
try:
    model = read_hub_model(repo, revision, offline=offline)
    answer = {name: getattr(model, name) for name in ("name", "parameters", "stored", "notes", "source")}
except VramcastError as error:
    answer = {"error": type(error).__name__, "what": error.what, "hint": error.hint}
print(json.dumps(answer))
"""


@dataclass
class World:
    """A hub, and an empty home for whoever asks it."""

    hub: Hub
    home: Path

    def repository(self, repo: str, config: object = CONFIG) -> Path:
        """A new repository with a config."""
        folder = self.hub.folder / repo
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def ask(
        self, repo: str, revision: str | None = None, *, offline: bool = False, **environment: str
    ) -> dict[str, Any]:
        """The answer of a fresh process in a clean environment."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", ASK, json.dumps([repo, revision, offline])],
            env={**kept, "HOME": str(self.home), "HF_ENDPOINT": self.hub.url, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        answer = json.loads(process.stdout)
        assert answer.get("what", "").isprintable()
        return answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A hub without repositories."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "home").mkdir()
    with serve(tmp_path / "hub") as hub:
        yield World(hub, tmp_path / "home")


def test_headers_are_read_and_weights_are_not(world: World) -> None:
    """16 MiB of weights cost the config and the first 100 KB, which hold the header; the token goes along."""
    folder = world.repository("org/tiny")
    weights = write_safetensors(folder / "model.safetensors", {**TENSORS, "buffer": ("F32", (4 * MIB,))})
    answer = world.ask("org/tiny", HF_TOKEN="hf_secret")
    assert answer["parameters"] == PARAMETERS
    assert answer["stored"] == [["bf16", 2 * PARAMETERS], ["fp32", 16 * MIB]]
    assert answer["source"] == "config.json and safetensors headers"
    assert weights.stat().st_size > 16 * MIB
    assert world.hub.sent < 120_000
    assert {headers.get("authorization") for headers in world.hub.headers} == {"Bearer hf_secret"}


def test_only_the_model_is_asked_for(world: World) -> None:
    """No telemetry, no other service: every request is for a file of the repository."""
    write_safetensors(world.repository("org/tiny") / "model.safetensors", TENSORS)
    world.ask("org/tiny", AI_AGENT="some-agent")
    assert all(path.startswith("/org/tiny/resolve/main/") for _, path in world.hub.requests)
    assert not any("agent/" in headers["user-agent"] for headers in world.hub.headers)


def test_shards_are_read_from_their_headers(world: World) -> None:
    """An index costs one request more for each of its files; their bytes add up."""
    half = len(TENSORS) // 2
    items = list(TENSORS.items())
    shards = {"model-1.safetensors": dict(items[:half]), "model-2.safetensors": dict(items[half:])}
    write_shards(world.repository("org/sharded"), shards, {"total_size": 1})
    for _ in range(2):  # the second time, the index is in the cache and its files are not
        answer = world.ask("org/sharded")
        assert (answer["stored"], answer["notes"]) == ([["bf16", 2 * PARAMETERS]], [])


def test_config_alone_answers_with_a_note(world: World) -> None:
    """A model without safetensors files is answered from its config."""
    world.repository("org/bin")
    answer = world.ask("org/bin")
    assert (answer["parameters"], answer["stored"]) == (PARAMETERS, [])
    assert "no safetensors files" in answer["notes"][0]


def test_broken_headers_are_noted(world: World) -> None:
    """A header that contradicts itself does not stand in the config's way."""
    (world.repository("org/broken") / "model.safetensors").write_bytes((3).to_bytes(8, "little") + b"[1]")
    answer = world.ask("org/broken")
    assert answer["parameters"] == PARAMETERS
    assert "could not be read" in answer["notes"][0]


def test_revision_is_part_of_the_name(world: World) -> None:
    """A revision is asked for, kept in the name, and named when it does not exist."""
    world.repository("org/tiny")
    assert world.ask("org/tiny", COMMIT)["name"] == f"org/tiny@{COMMIT}"
    answer = world.ask("org/tiny", "v9")
    assert (answer["error"], answer["what"]) == ("InputError", "org/tiny has no revision v9")


@pytest.mark.parametrize("switch", [{"offline": True}, {"HF_HUB_OFFLINE": "1"}], ids=str)
def test_offline_answers_from_the_cache_alone(world: World, switch: dict[str, Any]) -> None:
    """With the network off nothing is sent, and what was read before is read again."""
    write_safetensors(world.repository("org/tiny") / "model.safetensors", TENSORS)
    assert "not in the local cache" in world.ask("org/tiny", **switch)["what"]
    assert world.hub.requests == []
    world.ask("org/tiny")
    seen = len(world.hub.requests)
    assert world.ask("org/tiny", **switch)["parameters"] == PARAMETERS
    assert len(world.hub.requests) == seen


def test_weights_in_the_cache_are_read_there(world: World) -> None:
    """Who has downloaded the model needs no network for its headers either."""
    world.repository("org/tiny")
    world.ask("org/tiny")
    (snapshot,) = world.home.glob(f".cache/huggingface/hub/models--org--tiny/snapshots/{COMMIT}")
    write_safetensors(snapshot / "model.safetensors", TENSORS)
    assert world.ask("org/tiny", offline=True)["stored"] == [["bf16", 2 * PARAMETERS]]


def test_cache_answers_when_the_hub_does_not(world: World) -> None:
    """A hub that fails is no reason to forget what is in the cache; without a cache, it is one line."""
    world.repository("org/tiny")
    world.ask("org/tiny")
    down = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert world.ask("org/tiny", **down)["parameters"] == PARAMETERS
    answer = world.ask("org/other", **down)
    assert answer["error"] == "InputError"
    assert answer["what"].startswith("org/other: http://127.0.0.1:9 does not answer")
    assert "needs no network" in answer["hint"]


@pytest.mark.parametrize(
    ("answer", "what", "hint"),
    [
        ((401, "RepoNotFound"), "or private", "HF_TOKEN"),
        ((403, "GatedRepo"), "is gated", "HF_TOKEN"),
        ((404, "EntryNotFound"), r"has no config\.json", ""),
        ((403, "DisabledRepo"), "refused: .*403", "needs no network"),
        ((500, "Oops"), "refused: .*500", "needs no network"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_refusals_are_one_line(world: World, answer: tuple[int, str], what: str, hint: str) -> None:
    """What the hub refuses is told apart, with what to do about it."""
    world.hub.errors["org/x"] = answer
    told = world.ask("org/x")
    assert re.search(what, told["what"]), told
    assert hint in told["hint"]


@pytest.mark.parametrize(
    ("config", "error"),
    [({"architectures": ["ViT"]}, "InputError"), ({"model_type": "vit"}, "UnsupportedError"), ([1], "InputError")],
    ids=str,
)
def test_what_is_no_language_model_is_told(world: World, config: object, error: str) -> None:
    """A config of something else gives an error, not a number."""
    world.repository("org/vision", config)
    assert world.ask("org/vision")["error"] == error


def test_huge_config_is_not_downloaded(world: World) -> None:
    """The size that the hub states is enough to refuse."""
    path = world.repository("org/huge") / "config.json"
    with path.open("ab") as file:
        file.truncate(20 * MIB)
    assert "config.json of 20.00 MiB" in world.ask("org/huge")["what"]
    assert world.hub.sent == 0
