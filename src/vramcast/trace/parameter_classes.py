"""
Classes of parameters that libraries make for themselves, over tensors that hold nothing, and bitsandbytes' optimizers.

A fake tensor cannot be made a parameter of such a class; but a class of the same name that is both can be given to it. Then
`Params4bit` and `Int8Params` quantise shapes as they quantise numbers.

Source: torch/_subclasses/fake_tensor.py; bitsandbytes 0.50 nn/modules.py, optim/optimizer.py, functional.py (`get_paged`).
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from vramcast.trace.optimizers import fill_maps, no_prefetch, state_buffer
from vramcast.trace.patches import Patches

_REAL = Tensor._make_subclass


def put_in_place(patches: Patches) -> None:
    """Let libraries' classes be made of fake tensors, and keep bitsandbytes' large paged states on the host."""
    patches.put(Tensor, "_make_subclass", staticmethod(_made))
    if find_spec("bitsandbytes") is None or find_spec("peft") is None:
        return
    from bitsandbytes.optim import optimizer

    from vramcast.trace import bnb_weights as _shapes_of_products  # noqa: F401

    says = "bitsandbytes: optimizers' tables hold no values, paged states are on the host"
    patches.answer(optimizer.Optimizer8bit, "fill_qmap", fill_maps, says)
    patches.put(optimizer.Optimizer8bit, "get_state_buffer", _buffer)
    patches.put(optimizer.Optimizer8bit, "prefetch_state", lambda _, tensor: no_prefetch(tensor))


def _made(kind: Any, data: Tensor, require_grad: bool = False, **options: Any) -> Tensor:
    if options or not isinstance(data, FakeTensor) or issubclass(kind, FakeTensor):
        real: Tensor = _REAL(kind, data, require_grad, **options)
        return real
    fake: Any = data.detach().requires_grad_(require_grad)
    fake.__class__ = _both(kind)
    fake._is_param = issubclass(kind, nn.Parameter)
    result: Tensor = fake
    return result


@cache
def _both(kind: Any) -> type:
    """A fake tensor of this class: libraries know their own by its name."""
    return type(kind.__name__, (kind, FakeTensor), {"__module__": kind.__module__, "detach": _detached})


def _detached(tensor: Any) -> Any:
    """Of the same class and with the same attributes, as `nn.Parameter` wants it."""
    alone: Any = Tensor.detach(tensor)
    alone.__class__ = tensor.__class__
    alone.__dict__.update((name, value) for name, value in tensor.__dict__.items() if name not in alone.__dict__)
    return alone


def _buffer(optimizer: Any, parameter: nn.Parameter, dtype: torch.dtype = torch.float32) -> Tensor:
    if optimizer.is_paged:
        return state_buffer(parameter, dtype)
    return torch.zeros_like(parameter, dtype=dtype, device=parameter.device)
