"""A config with fewer layers, so that a large model's step fits on a small machine."""

from collections.abc import Mapping
from typing import Any

from vramcast.domain.errors import InputError

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
TEXT = "text_config"


def shortened(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """
    `config` with its first `layers` layers; lists with one entry a layer are cut too. Multimodal ones: of the text model.

    Raises:
        InputError: the config does not say how many layers there are, or there are fewer.
    """
    values = dict(config)
    if isinstance(values.get(TEXT), Mapping):
        return values | {TEXT: shortened(values[TEXT], layers)}
    key = next((name for name in LAYERS if isinstance(values.get(name), int)), None)
    if key is None:
        raise InputError("the config does not say how many layers the model has", f"{LAYERS[0]}, say")
    whole = values[key]
    if not 1 <= layers <= whole:
        raise InputError(f"{layers} layers of a model that has {whole}", f"from 1 to {whole}")
    for name, value in values.items():
        if isinstance(value, list) and len(value) == whole:
            values[name] = value[:layers]
    return values | {key: layers}
