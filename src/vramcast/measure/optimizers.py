"""Optimizers as torch, transformers and bitsandbytes implement them, with real states."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vramcast.domain.run import Optimizer

PAGED = (Optimizer.PAGED_ADAMW, Optimizer.PAGED_ADAMW_8BIT)
PAGED_ON_CPU = "the paged optimizer keeps its states in plain memory: bitsandbytes pages on CUDA only"
Theirs = torch.optim.Optimizer


def _adafactor(parameters: list[Tensor], rate: float) -> Theirs:
    from transformers.optimization import Adafactor

    return Adafactor(parameters, lr=rate, scale_parameter=False, relative_step=False, warmup_init=False)


_MAKERS: dict[Optimizer, Callable[[list[Tensor], float], Theirs]] = {
    Optimizer.ADAMW_FOREACH: lambda p, lr: torch.optim.AdamW(p, lr=lr, foreach=True),
    Optimizer.ADAMW_FUSED: lambda p, lr: torch.optim.AdamW(p, lr=lr, fused=True),
    Optimizer.ADAMW_LOOP: lambda p, lr: torch.optim.AdamW(p, lr=lr, foreach=False, fused=False),
    Optimizer.SGD: lambda p, lr: torch.optim.SGD(p, lr=lr, foreach=True),
    Optimizer.SGD_MOMENTUM: lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, foreach=True),
    Optimizer.MUON: lambda p, lr: torch.optim.Muon(p, lr=lr),
    Optimizer.ADAFACTOR: _adafactor,
    Optimizer.ADAMW_8BIT: lambda p, lr: _bitsandbytes("AdamW8bit", p, lr),
    Optimizer.PAGED_ADAMW: lambda p, lr: _bitsandbytes("PagedAdamW32bit", p, lr),
    Optimizer.PAGED_ADAMW_8BIT: lambda p, lr: _bitsandbytes("PagedAdamW8bit", p, lr),
    Optimizer.LION: lambda p, lr: _bitsandbytes("Lion32bit", p, lr),
    Optimizer.LION_8BIT: lambda p, lr: _bitsandbytes("Lion8bit", p, lr),
}


def real_optimizers(
    kind: Optimizer, updated: Sequence[Tensor], inner: Sequence[bool], rate: float
) -> tuple[Theirs, ...]:
    """
    The optimizers that update `updated`, their implementation named.

    `inner` says of each whether it is a matrix inside the model: Muon orthogonalises those, and AdamW updates the others.
    """
    if kind is not Optimizer.MUON:
        return (_MAKERS[kind](list(updated), rate),)
    matrices = [one for one, is_inner in zip(updated, inner, strict=True) if is_inner]
    others = [one for one, is_inner in zip(updated, inner, strict=True) if not is_inner]
    pairs = ((Optimizer.MUON, matrices), (Optimizer.ADAMW_FOREACH, others))
    return tuple(_MAKERS[which](group, rate) for which, group in pairs if group)


def is_inner(model: nn.Module, parameter: Tensor) -> bool:
    """Whether it is the weight of a linear layer that is not the output projection."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    linears = (one for one in model.modules() if isinstance(one, nn.Linear) and one is not head)
    return parameter.dim() == 2 and any(one.weight is parameter for one in linears)


def state_tensors(optimizers: Sequence[Theirs]) -> list[Tensor]:
    """Every tensor that they keep from step to step."""
    states = (state for one in optimizers for state in one.state.values())
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


def _bitsandbytes(name: str, parameters: list[Tensor], rate: float) -> Theirs:
    from bitsandbytes import optim

    theirs: Any = getattr(optim, name)
    made: Theirs = theirs(parameters, lr=rate)
    return made
