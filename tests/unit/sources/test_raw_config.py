"""A model's config as it is, for code that builds the model itself."""

import json
from pathlib import Path

import pytest

from tests.models import TINY
from vramcast.domain.errors import InputError
from vramcast.sources.raw_config import dtype_of, raw_config


def test_a_folder_and_its_config_are_one_model(tmp_path: Path) -> None:
    """Both give the parsed file, unknown keys included."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(TINY | {"made_up": 1}))
    assert raw_config(str(tmp_path)) == raw_config(str(file)) == TINY | {"made_up": 1}


def test_a_catalogued_model_needs_no_network() -> None:
    """By its house name and by its hub id."""
    assert raw_config("llama-3.1-8b")["num_hidden_layers"] == 32
    assert raw_config("meta-llama/Llama-3.1-8B") == raw_config("llama-3.1-8b")


@pytest.mark.parametrize("name", ["8B", "no-such-model", ""])
def test_what_has_no_config_is_said(name: str) -> None:
    """A bare size cannot be built."""
    with pytest.raises(InputError, match="no config to build a model from"):
        raw_config(name)


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "float16"}, "fp16"),
        ({"torch_dtype": "float32"}, "fp32"),
        ({"text_config": {"dtype": "bfloat16"}}, "bf16"),
        ({"dtype": "float8"}, "bf16"),
        ({}, "bf16"),
    ],
)
def test_the_format_is_the_configs(config: dict[str, object], dtype: str) -> None:
    """Under its old name and its new one, also in the text part; BF16 where none is named."""
    assert dtype_of(config) == dtype
