"""transformers' own configuration of a model, from its config.json."""

from collections.abc import Mapping

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PretrainedConfig

from vramcast.domain.errors import InputError, UnsupportedError

MISTAKES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a config's numbers
STORED = "quantization_config"


def model_config(config: Mapping[str, object]) -> tuple[PretrainedConfig, tuple[str, ...]]:
    """
    The config of a text model, and what was left out of a multimodal one.

    Raises:
        InputError: there is no model type, or transformers refuses a value.
        UnsupportedError: transformers has no code of its own for the model; code published with a model is not run.
    """
    values = dict(config)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str):
        raise InputError("the config has no model_type", "a trace needs the config.json of a model")
    if kind not in CONFIG_MAPPING:
        raise UnsupportedError(f"transformers has no code of its own for {kind[:40]!r}", "without --exact")
    try:
        settings = AutoConfig.for_model(kind, **values)
    except (StrictDataclassError, *MISTAKES) as error:
        raise unreadable(kind, error) from error
    text = getattr(settings, "text_config", settings)
    if text is settings or type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return settings, ()
    text.dtype = text.dtype or settings.dtype
    return text, (f"the parts of {kind!r} outside its text model (vision, audio)",)


def stored_format(config: Mapping[str, object]) -> str:
    """What the checkpoint's weights are quantised by, empty if they are not."""
    stored = config.get(STORED)
    return str(stored.get("quant_method", STORED)) if isinstance(stored, Mapping) else ""


def unreadable(kind: str, error: Exception) -> InputError:
    """What transformers' code says of a config that it cannot use, its last line."""
    said = str(error).strip().splitlines() or [""]
    return InputError(
        f"transformers cannot build this {kind}: {type(error).__name__}: {said[-1].strip()[:160]}",
        "look at the sizes in its config.json",
    )
