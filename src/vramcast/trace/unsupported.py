"""Operators that do not run on shapes alone, told by name and by the module in which they stand."""

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)

from vramcast.domain.errors import UnsupportedError
from vramcast.trace.places import Places

Operator = torch._ops.OpOverload
_TORCHS_OWN = ("aten", "prim", "prims")
_BY_VALUES = (DataDependentOutputException, DynamicOutputShapeException)
_WITHOUT_SHAPES = (UnsupportedOperatorException, UnsupportedFakeTensorException, NotImplementedError)
_NEEDS_MEMORY = ("data pointer", "data_ptr", "storage_ptr", "no fake impl registered")


def unsupported(error: RuntimeError, func: Operator, places: Places) -> UnsupportedError | None:
    """
    What to raise where `func` ended with `error` and torch itself is at fault; None: the program is.

    None leaves a note on `error` that names the operator and the module at work.
    """
    where = _where(places)
    if isinstance(error, _BY_VALUES):
        why = "what it returns depends on values, and a traced tensor has none"
    elif isinstance(error, _WITHOUT_SHAPES) or any(word in str(error) for word in _NEEDS_MEMORY):
        why = "it does not run on shapes alone"
    else:
        if not getattr(error, "__notes__", ()):
            error.add_note(f"operator {func}{where}")
        return None
    return UnsupportedError(f"operator {func}{where} cannot be followed: {why}", _hint(func))


def _where(places: Places) -> str:
    path = places.now().path
    if not path:
        return ""
    return f" in the backward pass of module {path}" if places.in_backward else f" in module {path}"


def _hint(func: Operator) -> str:
    name = func._schema.name
    if name.partition("::")[0] in _TORCHS_OWN:
        return "vramcast predict without --exact answers by rules, without running the code"
    return f'a custom operator needs a fake that gives its shapes: torch.library.register_fake("{name}")'
