"""The optimizers that people use, as torch, transformers and bitsandbytes implement them."""

from collections.abc import Iterable

import torch
from torch import nn

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Optimizer

RATE = 1e-4


def make_optimizer(kind: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """
    The optimizer over `parameters`, with its implementation named: left to itself torch would not use foreach here.

    Raises:
        UnsupportedError: no implementation is known.
    """
    trained = list(parameters)
    match kind:
        case Optimizer.ADAMW_FOREACH:
            return torch.optim.AdamW(trained, lr=RATE, foreach=True, fused=False)
        case Optimizer.ADAMW_FUSED:
            return torch.optim.AdamW(trained, lr=RATE, foreach=False, fused=True)
        case Optimizer.ADAMW_LOOP:
            return torch.optim.AdamW(trained, lr=RATE, foreach=False, fused=False)
        case Optimizer.SGD:
            return torch.optim.SGD(trained, lr=RATE, foreach=True, fused=False)
        case Optimizer.SGD_MOMENTUM:
            return torch.optim.SGD(trained, lr=RATE, momentum=0.9, foreach=True, fused=False)
        case _:
            raise UnsupportedError(f"the trace does not run the optimizer {kind}")
