"""
Stand-ins for the fast kernels: functions that compute nothing and keep for backward what the public kernels keep.

Read off mamba_ssm (`MambaInnerFn`, `SelectiveScanFn`, `MambaSplitConv1dScanCombinedFn`), causal_conv1d (`CausalConv1dFn`),
flash-linear-attention (`ChunkGatedDeltaRuleFunction`, `ChunkKDAFunction`), and transformers' `RwkvLinearAttention`.
"""

from types import ModuleType
from typing import Any

import pytest
import torch

CHUNK = 64


class _Kernel(torch.autograd.Function):
    """Keeps `kept` and answers with `out`."""

    @staticmethod
    def forward(ctx: Any, out: torch.Tensor, _: torch.Tensor, *kept: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError


def _keeping(out: torch.Tensor, source: torch.Tensor, *kept: torch.Tensor) -> torch.Tensor:
    return _Kernel.apply(out, source, *(tensor.detach() for tensor in kept))


def _token_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def causal_conv1d(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """The input, in whatever layout."""
    return _keeping(torch.empty_like(x), x, x)


def selective_scan(u: torch.Tensor, delta: Any, a: Any, b: Any, c: Any, z: Any = None, **_: Any) -> torch.Tensor:
    """Every input with tokens last, and the output before the gate."""
    out = torch.empty_like(delta, memory_format=torch.contiguous_format)
    kept = [_token_last(tensor) for tensor in (u, delta, b, c, z)]
    return _keeping(torch.empty_like(out), u, *kept, out)


def mamba_inner(xz: torch.Tensor, *weights: torch.Tensor | None, **_: Any) -> torch.Tensor:
    """x and z with tokens last, x_proj's output, copies of B and C, the scan's output."""
    x_proj, out_proj = weights[2], weights[4]
    assert x_proj is not None and out_proj is not None and weights[3] is not None
    batch, both, tokens = xz.shape
    rank = weights[3].shape[1]
    state = (x_proj.shape[0] - rank) // 2
    projected = xz.new_empty(batch * tokens, x_proj.shape[0])
    out = xz.new_empty(batch, both // 2, tokens)
    answer = xz.new_empty(batch, tokens, out_proj.shape[0])
    b_and_c = [xz.new_empty(batch, state, tokens) for _ in range(2)]
    return _keeping(answer, xz, _token_last(xz), projected, *b_and_c, out)


def mamba2_split(zxbcdt: torch.Tensor, *_: Any, outproj_weight: Any, headdim: int, D: Any, **__: Any) -> torch.Tensor:
    """The projections as they are, and the scan's output."""
    batch, tokens, _width = zxbcdt.shape
    out = zxbcdt.new_empty(batch, tokens, D.shape[0], headdim)
    return _keeping(zxbcdt.new_empty(batch, tokens, outproj_weight.shape[0]), zxbcdt, zxbcdt, out)


def _delta_rule(q: Any, k: Any, v: Any, g: Any, beta: Any, matrices: int) -> tuple[torch.Tensor, None]:
    batch, tokens, heads, _ = v.shape
    norms = [q.new_empty(q.shape[:-1], dtype=torch.float32) for _ in range(2)]
    solved = [k.new_empty(batch, tokens, heads, CHUNK) for _ in range(matrices)]
    running = torch.empty_like(g, dtype=torch.float32)
    kept = [q.contiguous().clone(), k.contiguous().clone(), v.contiguous(), running, beta.contiguous()]
    if matrices > 1:
        kept.append(g.contiguous())
    return _keeping(torch.empty_like(v), v, *kept, *norms, *solved), None


def gated_delta_rule(q: Any, k: Any, v: Any, g: Any, beta: Any, **_: Any) -> tuple[torch.Tensor, None]:
    """Normalised query and key, 1/norms, value, the decay's running sum, beta, one matrix for each chunk and head."""
    return _delta_rule(q, k, v, g, beta, 1)


def kimi_delta_rule(q: Any, k: Any, v: Any, g: Any, beta: Any, **_: Any) -> tuple[torch.Tensor, None]:
    """The same, the decay itself, and two matrices for each chunk and head."""
    return _delta_rule(q, k, v, g, beta, 2)


def wkv(_: Any, __: Any, key: torch.Tensor, value: torch.Tensor, **___: Any) -> tuple[torch.Tensor, None]:
    """Key, value and output."""
    out = torch.empty_like(key)
    return _keeping(out, key, key, value, out), None


KERNELS = {
    "causal_conv1d_fn": causal_conv1d,
    "mamba_selective_scan": selective_scan,
    "mamba_inner_fn": mamba_inner,
    "mamba2_split_conv1d_scan_combined": mamba2_split,
    "torch_chunk_gated_delta_rule": gated_delta_rule,
    "chunk_kimi_delta_attention": kimi_delta_rule,
    "rwkv_linear_attention": wkv,
}


def stand_in(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Put the stand-ins where a modelling file looks for its kernels."""
    for name, kernel in KERNELS.items():
        if hasattr(module, name):
            monkeypatch.setattr(module, name, kernel)
