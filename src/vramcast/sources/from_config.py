"""A model from a parsed `config.json`, with what is known of its stored weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vramcast.domain.model import ModelSpec
from vramcast.sources.quantization import quantized_format
from vramcast.sources.read import read_config
from vramcast.sources.shown import shown

if TYPE_CHECKING:
    from vramcast.sources.checkpoint import Checkpoint

CONFIG = "config.json"


def from_config(data: Mapping[str, Any], name: str, checkpoint: "Checkpoint | None" = None) -> ModelSpec:
    """
    The model that a parsed `config.json` describes, with what its checkpoint's headers say where they are known.

    Notes where the headers' elements are not Φ, and where a quantised checkpoint's bytes are not known.

    Raises:
        InputError: not a language model's config.
        UnsupportedError: no closed form knows its `model_type`.
    """
    model = replace(read_config(data, name), source=CONFIG)
    if checkpoint is None:
        settings = data.get("quantization_config")
        if not isinstance(settings, dict):
            return model
        found = quantized_format(settings)
        if found is not None:
            return replace(model, quantized=found)
        method = shown(settings.get("quant_method"))
        return replace(model, notes=(*model.notes, f"the checkpoint's own quantisation ({method})"))
    notes = [*model.notes, *checkpoint.notes]
    extra = checkpoint.numel - model.parameters
    if checkpoint.plain and extra:
        side = "more" if extra > 0 else "fewer"
        notes.append(
            f"the safetensors headers hold {abs(extra):,} elements {side} than the {model.parameters:,} parameters "
            f"counted from the config ({abs(extra) / model.parameters:.2%}): buffers, a stored copy of a tied head, or "
            "layers outside the language model"
        )
    return replace(model, stored=checkpoint.stored, source=f"{CONFIG} and safetensors headers", notes=tuple(notes))
