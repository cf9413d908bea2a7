"""From the mapping of a config.json to what transformers builds a model from."""

from collections.abc import Mapping
from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from vramcast.domain.errors import InputError, UnsupportedError

TEXT = "text_config"
# How a checkpoint is stored says nothing about how it is trained: the run says that.
_ABOUT_THE_CHECKPOINT = ("quantization_config", "dtype", "torch_dtype", "auto_map", "architectures")


def parse_config(config: Mapping[str, object]) -> tuple[PreTrainedConfig, tuple[str, ...]]:
    """
    transformers' own configuration object, and notes on what was left out of it.

    Of a vision-language model the language model is kept, where transformers can build it alone.

    Raises:
        InputError: there is no `model_type`, or transformers does not accept a value.
        UnsupportedError: the installed transformers has no such model.
    """
    name = config.get("model_type")
    if not isinstance(name, str):
        raise InputError("the config has no model_type", "give a model's own config.json")
    if name not in CONFIG_MAPPING_NAMES:
        hint = "code that is published with a model is not run; try --engine rules, or a newer transformers"
        raise UnsupportedError(f"transformers has no model of type {name}", hint)
    notes = []
    stored = config.get("quantization_config")
    if isinstance(stored, Mapping):
        notes.append(
            f"the checkpoint is stored as {stored.get('quant_method', 'quantised')}; built in the run's own format"
        )
    own = {key: value for key, value in config.items() if key not in _ABOUT_THE_CHECKPOINT}
    try:
        parsed: PreTrainedConfig = CONFIG_MAPPING[name].from_dict(own)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"transformers does not accept this config of {name}: {error}") from error
    return _language_model(parsed, notes)


def _language_model(parsed: PreTrainedConfig, notes: list[str]) -> tuple[PreTrainedConfig, tuple[str, ...]]:
    text = getattr(parsed, TEXT, None)
    if isinstance(text, PreTrainedConfig) and type(text) in MODEL_FOR_CAUSAL_LM_MAPPING:
        others = [
            key.removesuffix("_config") for key in parsed.sub_configs if key != TEXT and getattr(parsed, key, None)
        ]
        notes.append(f"only the language model is built; left out: {', '.join(others) or 'what is around it'}")
        return text, tuple(notes)
    return parsed, tuple(notes)


def model_class(config: PreTrainedConfig) -> Any:
    """
    The automatic class that builds a model with a language head from `config`.

    Raises:
        UnsupportedError: transformers has no language model of this type.
    """
    for mapping, auto in (
        (MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM),
        (MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoModelForImageTextToText),
    ):
        if type(config) in mapping:
            return auto
    raise UnsupportedError(f"{config.model_type} has no language head in transformers", "give a causal language model")
