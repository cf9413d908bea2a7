"""
What CUDA's kernels allocate for themselves, and no dispatch mode sees.

One entry an operator (or a few that share a formula); `entries()` is the table, with formula, source and exactness of each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vramcast.trace.kernels import (
    cudnn,
    efficient,
    embedding,
    flash,
    foreach,
    gemm,
    indexing,
    norms,
    quantized,
    softmax,
    sorting,
)
from vramcast.trace.kernels.call import Call, Signature
from vramcast.trace.kernels.registry import Entry
from vramcast.trace.kernels.target import Hidden, Target

__all__ = ["Entry", "Hidden", "Target", "entries", "hidden"]

_ENTRIES: tuple[Entry, ...] = (
    *gemm.ENTRIES,
    *flash.ENTRIES,
    *cudnn.ENTRIES,
    *efficient.ENTRIES,
    *embedding.ENTRIES,
    *softmax.ENTRIES,
    *norms.ENTRIES,
    *sorting.ENTRIES,
    *indexing.ENTRIES,
    *foreach.ENTRIES,
    *quantized.ENTRIES,
)


class _Known(NamedTuple):
    signature: Signature
    entries: tuple[Entry, ...]


_known: dict[torch._ops.OpOverload, _Known | None] = {}


def entries() -> tuple[Entry, ...]:
    """The table."""
    return _ENTRIES


def hidden(
    operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: object, target: Target
) -> Sequence[Hidden]:
    """
    What the kernels of this call take for themselves on `target`, in the order of allocation.

    `operator`, `args` and `kwargs` are as a dispatch mode gets them; `outputs` is what the operator returned.
    """
    try:
        known = _known[operator]
    except KeyError:
        known = _known[operator] = _look_up(operator)
    if known is None:
        return ()
    call = Call(known.signature, args, kwargs, outputs, target)
    taken: list[Hidden] = []
    for entry in known.entries:
        if entry.name not in target.off:
            taken += entry.take(call)
    return taken


def _look_up(operator: torch._ops.OpOverload) -> _Known | None:
    name = str(operator)
    found = tuple(entry for entry in _ENTRIES if name in entry.operators)
    return _Known(Signature.of(operator), found) if found else None
