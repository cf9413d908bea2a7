"""From a parsed `config.json` to a ModelSpec."""

from collections.abc import Mapping
from dataclasses import replace

from vramcast.domain.errors import InputError
from vramcast.domain.model import MOST_PARAMETERS, ModelSpec
from vramcast.sources.config import Config
from vramcast.sources.family_code import as_coded
from vramcast.sources.nested_defaults import NESTED_DEFAULTS
from vramcast.sources.registry import reader_of
from vramcast.sources.shown import shown
from vramcast.sources.unsupported import unsupported

_INHERITED = ("dtype", "torch_dtype", "tie_word_embeddings")
_DEEPEST = 3  # multimodal configs nest their text model once, some twice


def read_config(data: object, name: str) -> ModelSpec:
    """
    The ModelSpec of a parsed `config.json`; a multimodal config is read through its `text_config`.

    Raises:
        InputError: no table, a key is missing or holds something impossible, or the sum is more than any model.
        UnsupportedError: no closed form knows this `model_type`.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{name}: a config must be a table, not {shown(data)}")
    model = _read(Config(data, name), _DEEPEST)
    if model.parameters > MOST_PARAMETERS:
        raise InputError(f"{name}: the sizes in the config make {model.parameters:.1e} parameters, more than any model")
    return model


def _read(config: Config, deepest: int) -> ModelSpec:
    text = config.part("text_config") if deepest else None
    if text is None:
        reader = reader_of(config.model_type)
        if reader is None:
            raise unsupported(config)
        return as_coded(reader(config), config)
    defaults = NESTED_DEFAULTS.get(text.model_type, {})
    text = text.within(config, *_INHERITED).within(Config(defaults, config.name), *defaults)
    model = _read(text, deepest - 1)
    left_out = f"the parts of {shown(config.model_type)} outside its text model (vision, audio)"
    return replace(model, notes=(*model.notes, left_out))
