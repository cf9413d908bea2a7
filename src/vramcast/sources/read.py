"""From a parsed `config.json` to a ModelSpec."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.model import ModelSpec
from vramcast.sources.config import Config
from vramcast.sources.registry import readers

_INHERITED = ("dtype", "torch_dtype", "tie_word_embeddings")


def read_config(data: Mapping[str, Any], name: str) -> ModelSpec:
    """
    The ModelSpec of a parsed `config.json`; a multimodal config is read through its `text_config`.

    Raises:
        InputError: a key is missing or holds something impossible.
        UnsupportedError: no closed form knows this `model_type`.
    """
    config = Config(data, name)
    reader = readers().get(config.model_type)
    if reader is not None:
        return reader(config)
    text = config.part("text_config")
    if text is None:
        raise UnsupportedError(
            f"{name}: no closed form for model type `{config.model_type[:40]}`",
            "vramcast models --architectures lists the types that have one",
        )
    outer = {key: data[key] for key in _INHERITED if data.get(key) is not None}
    model = read_config({**outer, **data["text_config"]}, name)
    left_out = f"the parts of `{config.model_type}` outside its text model (vision, audio)"
    return replace(model, notes=(*model.notes, left_out))
