"""The optimizers that people use, as torch, transformers and bitsandbytes implement them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vramcast.domain.run import Optimizer

RATE = 1e-4
MAP_ENTRIES = 256  # of the table that decodes 8-bit states
SMALLEST_PAGED = 100_000  # elements; smaller states stay on the device
HOST = "cpu"
Torch = torch.optim.Optimizer

_TORCH: dict[Optimizer, Callable[[list[Tensor]], Torch]] = {
    Optimizer.ADAMW_FOREACH: lambda p: torch.optim.AdamW(p, lr=RATE, foreach=True, fused=False),
    Optimizer.ADAMW_FUSED: lambda p: torch.optim.AdamW(p, lr=RATE, foreach=False, fused=True),
    Optimizer.ADAMW_LOOP: lambda p: torch.optim.AdamW(p, lr=RATE, foreach=False, fused=False),
    Optimizer.SGD: lambda p: torch.optim.SGD(p, lr=RATE, foreach=True, fused=False),
    Optimizer.SGD_MOMENTUM: lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, foreach=True, fused=False),
}
_EIGHT_BIT = (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT, Optimizer.LION_8BIT)
_PAGED = (Optimizer.PAGED_ADAMW, Optimizer.PAGED_ADAMW_8BIT)
_LION = (Optimizer.LION, Optimizer.LION_8BIT)


def make_optimizers(
    kind: Optimizer, parameters: Sequence[Tensor], hidden: Collection[Tensor], whole: Collection[Tensor]
) -> tuple[Torch, ...]:
    """
    The optimizers over `parameters`, their implementation named: left to itself torch would not use foreach here.

    Args:
        kind: the update rule and its implementation.
        parameters: what is updated.
        hidden: those among them that Muon orthogonalises, matrices inside the model; AdamW updates the others.
        whole: those that keep FP32 states although the optimizer's are of 8 bits.
    """
    trained = list(parameters)
    if kind in _TORCH:
        return (_TORCH[kind](trained),)
    if kind is Optimizer.MUON:
        matrices = [p for p in trained if _among(p, hidden)]
        others = [p for p in trained if not _among(p, hidden)]
        return tuple(
            make(group) for make, group in ((_muon, matrices), (_TORCH[Optimizer.ADAMW_FOREACH], others)) if group
        )
    if kind is Optimizer.ADAFACTOR:
        from transformers.optimization import Adafactor  # slow to import

        return (Adafactor(trained, lr=RATE, scale_parameter=False, relative_step=False, warmup_init=False),)
    return (_bitsandbytes(kind, trained, whole),)


def paged_bytes(optimizers: Iterable[Torch]) -> int:
    """Bytes of states in managed memory, which torch's allocator never sees."""
    tensors = [tensor for optimizer in optimizers for tensor in states(optimizer) if getattr(tensor, "is_paged", False)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def states(optimizer: Torch) -> Iterable[Tensor]:
    """Every tensor that an optimizer keeps."""
    return (value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))


def _among(tensor: Tensor, tensors: Collection[Tensor]) -> bool:
    return any(tensor is one for one in tensors)


def _muon(matrices: list[Tensor]) -> Torch:
    return torch.optim.Muon(matrices, lr=RATE)


def _bitsandbytes(kind: Optimizer, trained: list[Tensor], whole: Collection[Tensor]) -> Torch:
    """
    bitsandbytes' own class, with a manager of its own, and tables that hold nothing yet.

    Source: bitsandbytes 0.50 optim/optimizer.py (`get_state_buffer`, `prefetch_state`, `GlobalOptimManager`).
    """
    from bitsandbytes import optim  # slow to import

    theirs: Any = optim
    base = theirs.Lion if kind in _LION else theirs.AdamW
    optimizer = type(base.__name__, (base,), {"fill_qmap": fill_maps})(
        trained, lr=RATE, optim_bits=8 if kind in _EIGHT_BIT else 32, is_paged=kind in _PAGED
    )
    optimizer.mng = theirs.GlobalOptimManager.__new__(
        theirs.GlobalOptimManager
    )  # there is but one otherwise, and it never forgets
    optimizer.mng.initialize()
    optimizer.mng.pid2config = {id(parameter): {"optim_bits": 32} for parameter in whole}
    if kind in _PAGED:
        optimizer.get_state_buffer = state_buffer
        optimizer.prefetch_state = no_prefetch
    return optimizer  # type: ignore[no-any-return]


def fill_maps(optimizer: Any) -> None:
    """Tables that hold nothing: theirs are computed from numbers, which a traced tensor has not."""
    for name in ("dynamic", "udynamic"):
        optimizer.name2qmap[name] = torch.zeros(MAP_ENTRIES, dtype=torch.float32)


def state_buffer(parameter: nn.Parameter, dtype: torch.dtype = torch.float32) -> Tensor:
    """A large state lies on the host until it is used, and is never torch's."""
    paged = parameter.numel() >= SMALLEST_PAGED
    buffer = torch.zeros(parameter.shape, dtype=dtype, device=HOST if paged else parameter.device)
    buffer.is_paged = paged  # type: ignore[attr-defined]
    return buffer


def no_prefetch(_: Tensor) -> None:
    """The host's memory is no matter here."""
