"""From shapes on `meta` to storages on the device."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.core_model_loading import dot_natural_key


def materialize(model: nn.Module, device: str) -> None:
    """
    Give every tensor of `model` that is still on `meta` a storage on `device`, in the order that `from_pretrained` has.

    Weights come first, in the natural order of their names; then buffers that no checkpoint holds. A tensor that several
    modules share gets one storage. Tensors that are neither parameter nor buffer, but stand in a module, are moved too.
    Source: transformers 5.23 core_model_loading.py (`convert_and_load_state_dict_in_model`).
    """
    moved: dict[int, Tensor] = {}
    saved = set(model.state_dict().keys())
    places = list(_places(model))
    places.sort(key=lambda place: (place[0] not in saved, dot_natural_key(place[0]) if place[0] in saved else ()))
    for _, module, name in places:
        _move(module, name, device, moved)


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    for path, module in model.named_modules():
        own = (*module._parameters, *module._buffers, *(key for key, value in vars(module).items() if _is_meta(value)))
        for name in own:
            if _is_meta(getattr(module, name, None)):
                yield f"{path}.{name}" if path else name, module, name


def _is_meta(value: object) -> bool:
    return isinstance(value, Tensor) and value.device.type == "meta"


def _move(module: nn.Module, name: str, device: str, moved: dict[int, Tensor]) -> None:
    old: Tensor = getattr(module, name)
    new = moved.get(id(old))
    if new is None:
        new = torch.empty_strided(old.shape, old.stride(), dtype=old.dtype, device=device)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
            new.__dict__.update(vars(old))
        moved[id(old)] = new
    setattr(module, name, new)
