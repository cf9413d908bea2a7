"""`vramcast models` as a user meets it."""

import json

import pytest
from click.testing import CliRunner, Result

from vramcast.cli.models import models
from vramcast.domain.errors import InputError
from vramcast.sources.registry import readers


def run(*arguments: str, color: bool = False, **environment: str) -> Result:
    """The command's result with these arguments and environment variables."""
    return CliRunner().invoke(models, arguments, env={"NO_COLOR": "", **environment}, color=color)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("arguments", [(), ("gemma",), ("qwen3.5-35b-a3b",), ("--architectures",)], ids=str)
def test_output_fits_the_terminal(arguments: tuple[str, ...], width: int) -> None:
    """Tables and page keep to the width that COLUMNS states."""
    result = run(*arguments, COLUMNS=str(width))
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= width


@pytest.mark.parametrize("column", ["architecture", "active", "layers", "token", "text"])
def test_the_columns_that_80_characters_hold(column: str) -> None:
    """The whole catalog at 80 columns keeps what was asked for most."""
    assert column in run(COLUMNS="80").output.splitlines()[1]


def test_a_wide_terminal_shows_every_column() -> None:
    """Nothing is left out at 120 columns."""
    output = run(COLUMNS="120").output
    assert "published" in output.splitlines()[1]
    assert "Left out at this width" not in output


@pytest.mark.parametrize(
    ("word", "row"),
    [
        ("gemma-3-", "gemma-3-1b gemma3_text 1.00B – 26 1152 26 32K 999,885,952"),
        ("gemma-3-", "gemma-3-270m gemma3_text 268M – 18 640 18 32K 268,098,176"),
        ("kimi", "kimi-k2 kimi_k2 1.03T 31.7B 61 7168 68.6 128K 1,026.408B"),
        ("falcon-mamba", "falcon-mamba-7b falcon_mamba 7.27B – 64 4096 – – 7,272,665,088"),
    ],
)
def test_figures_stand_in_few_characters(word: str, row: str) -> None:
    """Three digits and a unit; a dash where there is no such figure."""
    rows = [" ".join(line.split()) for line in run(word, COLUMNS="120").output.splitlines()]
    assert row in rows


@pytest.mark.parametrize("arguments", [("gemma",), ("gpt2",), ("--architectures", "gemma")], ids=str)
def test_no_color_is_honoured(arguments: tuple[str, ...]) -> None:
    """Titles are bold on a terminal, and plain where NO_COLOR is set."""
    assert "\x1b[1m" in run(*arguments, color=True).output
    assert "\x1b" not in run(*arguments, color=True, NO_COLOR="1").output


def test_a_whole_name_shows_all_of_one_model() -> None:
    """Layers, published count, and the source of both."""
    lines = [" ".join(line.split()) for line in run("meta-llama/Llama-3.1-8B", COLUMNS="100").output.splitlines()]
    assert lines[0] == "llama-3.1-8b"
    assert "parameters 8,030,261,248" in lines
    assert "published 8,030,261,248" in lines
    assert "layers 32 × attention, 32 heads, 8 KV heads, head dim 128; gated MLP of 14,336" in lines
    assert "cache 128.00 KiB for each token, in BF16" in lines
    assert "next vramcast predict llama-3.1-8b" in lines
    assert any(line.startswith("source config.json and safetensors total of meta-llama/Llama-3.1-8B") for line in lines)


def test_json_of_models() -> None:
    """One document with the chosen models, each figure a number."""
    document = json.loads(run("mixtral", "--json").output)
    rows = {row["name"]: row for row in document["models"]}
    assert rows["mixtral-8x7b"]["parameters"] == rows["mixtral-8x7b"]["published_parameters"] == 46_702_792_704
    assert rows["mixtral-8x7b"]["cache_bytes_per_token"] == 131_072
    assert rows["mixtral-8x7b"]["config"]["num_local_experts"] == 8


def test_json_of_architectures() -> None:
    """Every registered model type."""
    document = json.loads(run("--architectures", "--json").output)
    assert [one["model_type"] for one in document["architectures"]] == sorted(readers())


def test_architectures_name_their_models_as_far_as_there_is_room() -> None:
    """A count stands for the names that do not fit."""
    output = run("--architectures", "bloom", COLUMNS="80").output
    assert "bloom-560m, bloom-1b1" in output
    assert " more" in output
    assert "1 model type has a closed form" in output


@pytest.mark.parametrize("arguments", [("nothing-like-it",), ("--architectures", "nothing-like-it")], ids=str)
def test_an_unknown_word_is_the_users_error(arguments: tuple[str, ...]) -> None:
    """The group turns it into one line and exit code 2."""
    assert isinstance(run(*arguments).exception, InputError)
