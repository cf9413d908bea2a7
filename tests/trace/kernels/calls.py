"""What kernels take, asked with operators that are really called, on tensors that hold nothing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vramcast.trace.kernels import Hidden, Target, hidden

A100 = Target(capability=(8, 0), multiprocessors=108, torch=(2, 13), kept_workspace=True)
RTX_4090 = Target(capability=(8, 9), multiprocessors=128, torch=(2, 13), kept_workspace=True)
H100 = Target(capability=(9, 0), multiprocessors=132, torch=(2, 13), kept_workspace=True)
H100_NEW = Target(capability=(9, 0), multiprocessors=132, torch=(2, 15), kept_workspace=False)
ops = torch.ops.aten


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """A tensor without values."""
    return torch.empty(shape, dtype=dtype, device="meta")


def taken(operator: Any, *args: Any, target: Target = A100, **kwargs: Any) -> Sequence[Hidden]:
    """Call the operator; what its kernels take."""
    return hidden(operator, args, kwargs, operator(*args, **kwargs), target)


def sizes(found: Sequence[Hidden]) -> list[int]:
    """Bytes of each."""
    return [one.bytes for one in found]
