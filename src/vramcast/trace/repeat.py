"""Which of a model's layers repeat, and the shallow model that stands for the deep one."""

from typing import NamedTuple

from torch import nn

from vramcast.trace.unfold import KEPT_UNITS, Pattern

_OWN_NUMBER = frozenset({"layer_idx", "layer_id", "layer_index", "block_idx", "training"})
LONGEST_PATTERN = 12


class Shallow(NamedTuple):
    """What repeats, and how many units were left out."""

    pattern: Pattern
    extra: int


def shorten(model: nn.Module) -> Shallow | None:
    """
    Leave out layers at the end of `model` that only repeat those before; None if nothing can be left out.

    The layers are the longest module list in the model. They repeat where their code, sizes and settings are the same at
    every step of some length; layers before that (dense ones before experts, say) stay.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = max(lists, key=len, default=None)
    if layers is None:
        return None
    types = getattr(getattr(model, "config", None), "layer_types", None) or [""] * len(layers)
    if len(types) != len(layers):
        return None
    marks = [(kind, _mark(layer)) for kind, layer in zip(types, layers, strict=True)]
    shallow = _pattern(marks)
    if shallow is not None:
        kept = shallow.pattern.first + KEPT_UNITS * shallow.pattern.length
        del layers[kept:]
    return shallow


def _mark(layer: nn.Module) -> tuple[object, ...]:
    """Everything that tells one layer from another: classes, sizes, simple attributes; not its own number."""
    return tuple(
        (
            name,
            type(module).__name__,
            tuple(
                (key, tuple(one.shape), one.dtype, one.requires_grad)
                for key, one in module.named_parameters(recurse=False)
            ),
            tuple(sorted(_settings(module))),
        )
        for name, module in layer.named_modules()
    )


def _settings(module: nn.Module) -> list[tuple[str, str]]:
    return [
        (key, repr(value))
        for key, value in vars(module).items()
        if key not in _OWN_NUMBER and (value is None or isinstance(value, bool | int | float | str))
    ]


def _pattern(marks: list[tuple[str, tuple[object, ...]]]) -> Shallow | None:
    """The pattern that leaves the fewest layers to trace."""
    count = len(marks)
    best: Shallow | None = None
    for length in range(1, LONGEST_PATTERN + 1):
        first = count - length
        while first > 0 and marks[first - 1] == marks[first - 1 + length]:
            first -= 1
        first += (count - first) % length
        units = (count - first) // length
        if units <= KEPT_UNITS:
            continue
        found = Shallow(Pattern(first, length), units - KEPT_UNITS)
        if best is None or _kept(found) < _kept(best):
            best = found
    return best


def _kept(shallow: Shallow) -> int:
    return shallow.pattern.first + KEPT_UNITS * shallow.pattern.length
