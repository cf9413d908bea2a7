"""Closed forms against transformers: the language parts of multimodal models."""

import warnings
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.dev.dense_configs import LLAMA
from vramcast.sources.nested_defaults import NESTED_DEFAULTS
from vramcast.sources.read import read_config

WRAPPED = {
    "cohere2_vision": "cohere2",
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "glm4v": "glm4v_text",
    "idefics3": "llama",
    "internvl": "qwen2",
    "llava": "llama",
    "mistral3": "mistral",
    "paligemma": "gemma",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
}


def language_parameters(config: dict[str, Any]) -> int:
    """Parameters of the language model inside the multimodal one, its head included, tied ones once."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(config["model_type"], **options))
    inside = ("language_model", "text_model", "lm_head")
    return sum(weight.numel() for name, weight in model.named_parameters() if any(part in name for part in inside))


@pytest.mark.parametrize("outer", WRAPPED)
@pytest.mark.parametrize("tied", [False, True])
def test_language_parts_equal_transformers(outer: str, tied: bool) -> None:
    """A multimodal config is counted as the language model that transformers builds inside."""
    text = LLAMA | {"model_type": WRAPPED[outer], "tie_word_embeddings": tied, "pad_token_id": 0}
    config = {"model_type": outer, "tie_word_embeddings": tied, "text_config": text}
    assert read_config(config, "tiny").parameters == language_parameters(config)


@pytest.mark.parametrize("outer", ["gemma3", "llava", "qwen2_vl"])
def test_silent_language_parts_have_the_defaults_of_transformers(outer: str) -> None:
    """Keys that transformers left out of a nested config, because they hold the default, are filled in."""
    text = {"model_type": WRAPPED[outer], "num_hidden_layers": 2}
    config = {"model_type": outer, "text_config": text}
    assert read_config(config, "silent").parameters == language_parameters(config)


@pytest.mark.parametrize("model_type", NESTED_DEFAULTS)
def test_nested_defaults_are_those_of_transformers(model_type: str) -> None:
    """Every row of the table says what the configuration class says."""
    config = AutoConfig.for_model(model_type)
    said = {key: getattr(config, key) for key in NESTED_DEFAULTS[model_type]}
    widths = said.get("intermediate_size")  # Gemma 3n spells one out for every layer
    if isinstance(widths, list):
        said["intermediate_size"] = widths[0]
    assert said == NESTED_DEFAULTS[model_type]


@pytest.mark.parametrize("outer", ["qwen2_vl", "qwen2_5_vl"])
def test_flat_vision_configs_are_read(outer: str) -> None:
    """The files of the first Qwen2-VL checkpoints hold the language part's keys beside the vision part's."""
    config = LLAMA | {"model_type": outer, "vision_config": {"depth": 1}}
    assert read_config(config, "flat").parameters == language_parameters(config)
