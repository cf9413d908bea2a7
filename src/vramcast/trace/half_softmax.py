"""
Softmax of FP16 numbers with an FP32 result, which CUDA's kernel makes without an FP32 copy of its input.

Source: torch aten/native/SoftMax.cpp (`softmax`, `log_softmax`: `is_cuda()`, half, and float asked for), 2.13.
"""

from typing import Any

import torch
from torch import Tensor

KEY = "AutogradPrivateUse1"


def _kernel(operator: Any) -> Any:
    def run(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        if x.dtype is torch.float16 and dtype is torch.float32:
            return operator(x, dim, True)  # type: ignore[no-any-return]
        return operator(x if dtype is None else x.to(dtype), dim, False)  # type: ignore[no-any-return]

    return run


def register(library: torch.library.Library) -> None:
    """Give the stand-in CUDA's choice."""
    library.impl("softmax.int", _kernel(torch.ops.aten._softmax.default), KEY)
    library.impl("log_softmax.int", _kernel(torch.ops.aten._log_softmax.default), KEY)
