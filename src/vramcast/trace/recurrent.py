"""
Shapes of the fused cell of a GRU, which torch has not.

Source: torch aten/native/cuda/RNN.cu (`_thnn_fused_gru_cell_cuda`), 2.13.
"""

import torch
from torch import Tensor

_GATES, _KEPT = 3, 5  # widths of the state


def gru_cell(_: Tensor, __: Tensor, hx: Tensor, *___: Tensor | None) -> tuple[Tensor, Tensor]:
    """The new state, and what the backward pass needs."""
    return torch.empty_like(hx), hx.new_empty(hx.shape[0], hx.shape[1] * _KEPT)


def gru_cell_backward(grad: Tensor, _: Tensor, has_bias: bool) -> tuple[Tensor | None, ...]:
    """Gradients of both gates, of the state, and of both biases."""
    rows, width = grad.shape
    gates = [grad.new_empty(rows, width * _GATES) for _ in range(2)]
    biases = [grad.new_empty(width * _GATES) if has_bias else None for _ in range(2)]
    return (*gates, torch.empty_like(grad), *biases)


_LIBRARY = torch.library.Library("aten", "IMPL")
_LIBRARY.impl("_thnn_fused_gru_cell", gru_cell, "Meta")
_LIBRARY.impl("_thnn_fused_gru_cell_backward", gru_cell_backward, "Meta")
