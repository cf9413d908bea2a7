"""
Shapes of results that torch's own meta kernels refuse to give, although the device has a kernel.

Source: torch aten/native/GroupedMMUtils.h and cuda/GroupedBlas.cpp (`_grouped_mm` takes FP32 and FP16 too), 2.13.
"""

import torch
from torch import Tensor


def _grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,  # noqa: ARG001 - the operator's signature
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Products of groups: rows of one matrix, or columns of both, are told apart by `offs`."""
    if mat_a.dim() == mat_b.dim():
        groups = mat_a.shape[0] if offs is None else offs.shape[0]
        size = [groups, mat_a.shape[-2], mat_b.shape[-1]]
    else:
        size = [mat_a.shape[-2], mat_b.shape[-1]]
    return torch.empty(size, dtype=out_dtype or mat_a.dtype, device=mat_a.device)


def register(library: torch.library.Library) -> None:
    """Put ours in the place of torch's."""
    library.impl("_grouped_mm", _grouped_mm, "Meta", allow_override=True)
