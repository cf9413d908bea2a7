"""Values that leave torch: lists, arrays, and questions whose usual answer is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from vramcast.trace import standin
from vramcast.trace.assumed import NO, ONE
from vramcast.trace.notes import Notes
from vramcast.trace.values import LARGEST, WHOLE, Values


class Readings:
    """
    Functions that hand values to the program: what is known, else ones, and no for flags.

    Numbers are taken to be finite: `isnan` and `isinf` say no, `isfinite` says yes.
    """

    def __init__(self, notes: Notes, values: Values) -> None:
        self._notes = notes
        self._values = values
        self.instead: dict[Any, Callable[..., Any]] = {
            Tensor.tolist: self._tolist,
            Tensor.numpy: self._numpy,
            Tensor.__array__: self._array,
            Tensor.__format__: _format,
            Tensor.random_: self._random,
            Tensor.__repr__: _shown,
        }
        for name, answer in (("isnan", False), ("isinf", False), ("isfinite", True)):
            for function in (getattr(torch, name), getattr(Tensor, name)):
                self.instead[function] = self._finite(function, answer)

    def real(self, tensor: Tensor, what: str) -> Tensor:
        """A real tensor on the CPU of the same shape, with the values that are known, or with ones."""
        known = self._values.of(tensor)
        if known is not None:
            return known
        if not isinstance(tensor, FakeTensor):
            return tensor
        value = NO if tensor.dtype is torch.bool else ONE
        self._notes.assumed(f"{what} of a tensor whose values nobody has", f"all {value}")
        with _disable_current_modes():
            return torch.full(tensor.shape, value, dtype=tensor.dtype, device="cpu")

    def _tolist(self, tensor: Tensor) -> Any:
        real = self.real(tensor, "tolist()")
        with _disable_current_modes():
            return real.tolist()

    def _numpy(self, tensor: Tensor, *, force: bool = False) -> Any:
        if not force and tensor.device.type != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        real = self.real(tensor, "numpy()")
        with _disable_current_modes():
            return real.detach().numpy()

    def _array(self, tensor: Tensor, dtype: Any = None) -> Any:
        return np.asarray(self._numpy(tensor), dtype=dtype)

    def _random(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Random whole numbers, such as seeds, are as good as any."""
        result = tensor.random_(*args, **kwargs)
        if isinstance(result, FakeTensor) and result.dtype in WHOLE and result.numel() <= LARGEST:
            with _disable_current_modes():
                known = torch.empty(result.shape, dtype=result.dtype, device="cpu").random_(*args)
            self._values.know(result, known)
        return result

    def _finite(self, function: Callable[..., Tensor], answer: bool) -> Callable[..., Tensor]:
        def ask(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            result = function(tensor, *args, **kwargs)
            if isinstance(result, FakeTensor) and result.numel() <= LARGEST:
                with _disable_current_modes():
                    known = torch.full(result.shape, answer, dtype=torch.bool, device="cpu")
                self._values.know(result, known)
            return result

        return ask


def _format(tensor: Tensor, how: str) -> str:
    return format(tensor.item(), how) if tensor.dim() == 0 else _shown(tensor)


def _shown(tensor: Tensor, *_: Any, **__: Any) -> str:
    """`tensor(..., device='cuda:0', size=(4, 8))`."""
    text: str = Tensor.__repr__(tensor)
    return text.replace("FakeTensor(", "tensor(").replace(f"'{standin.NAME}:", "'cuda:")
