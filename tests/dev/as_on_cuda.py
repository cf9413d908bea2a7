"""
A CPU step that keeps what the same step keeps on CUDA: where the two differ, operators run as CUDA's do.

Differences covered: a CPU layer norm keeps its statistics in the input's format, CUDA in FP32; a CPU dropout keeps its mask in
the input's format, CUDA in one byte; CPU autocast leaves powers, softmax and layer norms in half precision, CUDA's runs them in
FP32; a CPU has one kernel of its own for attention. Sources: torch layer_norm.cpp, Dropout.cpp, autocast_mode.h,
flash_api.cpp, sdp_utils.cpp, attention.cpp.
"""

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vramcast.domain.run import AttentionKernel

IN_FP32 = {
    torch.Tensor.pow,
    torch.pow,
    torch.Tensor.rsqrt,
    torch.rsqrt,
    torch.softmax,
    torch.Tensor.softmax,
    functional.softmax,
    functional.softplus,
    torch.Tensor.sum,
    torch.sum,
}


class _LayerNorm(torch.autograd.Function):
    """Keeps its input and FP32 statistics."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> torch.Tensor:
        full = [None if tensor is None else tensor.float() for tensor in (weight, bias)]
        out, mean, rstd = torch.native_layer_norm(x.float(), shape, *full, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError


class _Attention(torch.autograd.Function):
    """Keeps query, key, value, a mask in the query's type, output and log-sum-exp."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, like_query: bool
    ) -> torch.Tensor:
        batch, heads, tokens, _ = q.shape
        if like_query:
            out = torch.empty_like(q.transpose(1, 2)).transpose(1, 2)
        else:
            out = q.new_empty(batch, tokens, heads, v.shape[-1]).transpose(1, 2)
        statistics = q.new_empty(batch, heads, tokens, dtype=torch.float32)
        kept_mask = None if mask is None else q.new_empty(mask.shape)
        ctx.save_for_backward(q, k, v, kept_mask, out, statistics)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError


class AsOnCuda(TorchFunctionMode):
    """Runs layer norms, dropout, attention and, under autocast, FP32 operators as CUDA does."""

    def __init__(self, kernel: AttentionKernel, autocast: torch.dtype | None) -> None:
        super().__init__()
        self._kernel = kernel
        self._autocast = autocast

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is functional.dropout:
            return _dropout(*args, **kwargs)
        if func is functional.layer_norm:
            return self._layer_norm(*args, **kwargs)
        if func in IN_FP32 and self._casts() and isinstance(args[0], torch.Tensor) and args[0].dtype == self._autocast:
            args = (args[0].float(), *args[1:])
        return func(*args, **kwargs)

    def _casts(self) -> bool:
        return self._autocast is not None and torch.is_autocast_enabled("cpu")

    def _attention(self, q: Any, k: Any, v: Any, attn_mask: Any = None, **_: Any) -> torch.Tensor:
        if self._casts():
            q, k, v = (tensor.to(self._autocast) for tensor in (q, k, v))
        flash = self._kernel is AttentionKernel.FLASH
        assert attn_mask is None or not flash
        return _Attention.apply(q, k, v, attn_mask, flash)

    def _layer_norm(self, x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> torch.Tensor:
        return _LayerNorm.apply(x.float() if self._casts() else x, shape, weight, bias, eps)


def _dropout(x: torch.Tensor, p: float = 0.5, *flags: bool, **options: bool) -> torch.Tensor:
    training = flags[0] if flags else options.get("training", True)
    return torch.native_dropout(x, p, train=True)[0] if training and p > 0 else x
