"""
Scaled dot-product attention as the target GPU runs it.

On a machine without a GPU torch's own choice is always `math`. The stand-in device has its own kernel for
`scaled_dot_product_attention`, which chooses as the target would, and calls the operator that CUDA would call: its autograd
formula keeps what it keeps there.

Source: torch aten/native/transformers/cuda/sdp_utils.cpp and attention.cpp (`_fused_sdp_choice_cuda`, `pad_last_dim`,
`convert_boolean_attn_mask`, `pad_bias`), 2.13.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import AttentionKernel

HALF = (torch.float16, torch.bfloat16)
AMPERE, HOPPER, LAST = (8, 0), (9, 0), (12, 1)
CUDNN_FIRST = (HOPPER, (10, 0), (10, 3))
CUDNN_WIDEST, CUDNN_WIDEST_HOPPER = 128, 256
FLASH_WIDEST = 256
SMALL_SHARED_MEMORY = ((8, 6), (8, 9), (12, 0), (12, 1))
ALIGNED_MASK = 8


@dataclass(frozen=True, slots=True)
class Query:
    """One call of scaled dot-product attention: heads before tokens, sizes in the last two dimensions."""

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    dropout: float
    causal: bool
    grouped: bool

    @property
    def matched(self) -> bool:
        """As many heads of keys and values as of queries, or torch is told that they are grouped."""
        heads = self.q.shape[-3]
        return self.grouped or heads == self.k.shape[-3] == self.v.shape[-3]

    @property
    def differentiable(self) -> bool:
        """A backward pass will follow."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in (self.q, self.k, self.v))


def choose_kernel(one: Query, capability: tuple[int, int] | None) -> AttentionKernel:
    """
    The first kernel, in the order of the device, whose conditions hold.

    An unknown device (None) is taken as one of capability 8.0. cuDNN comes first on capabilities 9.0, 10.0 and 10.3, where
    its version is above 9.15, as in every wheel of torch 2.11 and later; elsewhere it comes after `math`, that is, never.
    """
    device = capability or AMPERE
    if device in CUDNN_FIRST and _cudnn(one, device):
        return AttentionKernel.CUDNN
    if _flash(one, device):
        return AttentionKernel.FLASH
    return AttentionKernel.EFFICIENT if _efficient(one, device) else AttentionKernel.MATH


def _cudnn(one: Query, device: tuple[int, int]) -> bool:
    key, value = one.q.shape[-1], one.v.shape[-1]
    if one.q.dtype not in HALF or key % 8 or value % 8 or one.k.shape[-2] == 1 or not one.matched:
        return False
    if one.q.shape[-2] == 1 and one.dropout > 0:
        return False
    if (key, value) == (192, 128) and device != HOPPER:
        return True
    return max(key, value) <= (CUDNN_WIDEST_HOPPER if device == HOPPER else CUDNN_WIDEST)


def _flash(one: Query, device: tuple[int, int]) -> bool:
    width = one.q.shape[-1]
    if one.q.dtype not in HALF or not AMPERE <= device <= LAST or one.mask is not None:
        return False
    if not width == one.k.shape[-1] == one.v.shape[-1] or width > FLASH_WIDEST or not one.matched:
        return False
    if one.causal and one.q.shape[-2] != one.k.shape[-2]:
        return False
    narrow = device in SMALL_SHARED_MEMORY and one.differentiable
    return not (narrow and (192 < width <= 224 or (width > 224 and one.dropout > 0)))


def _efficient(one: Query, device: tuple[int, int]) -> bool:
    if one.q.dtype is torch.bfloat16 and device < AMPERE:
        return False
    if one.q.dtype not in (*HALF, torch.float32) or one.q.shape[-3] != one.k.shape[-3]:
        return False
    half_unit = 8 if one.q.dtype is torch.float16 else 1
    unit = 16 // one.q.element_size() if device >= AMPERE else half_unit
    return not (one.q.shape[-1] % unit or one.v.shape[-1] % unit)


@dataclass(slots=True)
class _Chosen:
    """What the device is told; autograd's threads read it too, so it is one for the process."""

    capability: tuple[int, int] | None = None
    forced: AttentionKernel | None = None


_NOW = _Chosen()


@contextmanager
def attention_of(capability: tuple[int, int] | None, forced: AttentionKernel | None = None) -> Iterator[None]:
    """Within, attention runs as on a device of this capability, or with the kernel that is `forced`."""
    before = _NOW.capability, _NOW.forced
    _NOW.capability, _NOW.forced = capability, forced
    try:
        yield
    finally:
        _NOW.capability, _NOW.forced = before


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """
    The stand-in's kernel for `scaled_dot_product_attention`.

    Raises:
        UnsupportedError: the forced kernel has no code for this call; torch says "No available kernel" then.
    """
    one = Query(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
    if max(query.dim(), key.dim(), value.dim()) != 4 or query.is_nested:
        return _math(one, scale)
    if _NOW.forced is not None:
        _check(_NOW.forced, one, _NOW.capability or AMPERE)
    match _NOW.forced or choose_kernel(one, _NOW.capability):
        case AttentionKernel.FLASH:
            return _run_flash(one, scale)
        case AttentionKernel.CUDNN:
            return _run_cudnn(one, scale)
        case AttentionKernel.EFFICIENT:
            return _run_efficient(one, scale)
        case _:
            return _math(one, scale)


def _check(kernel: AttentionKernel, one: Query, device: tuple[int, int]) -> None:
    refused = {
        AttentionKernel.CUDNN: lambda: not _cudnn(one, device),
        AttentionKernel.EFFICIENT: lambda: not _efficient(one, device),
        AttentionKernel.FLASH: lambda: one.mask is not None or one.q.dtype not in HALF,
    }
    if kernel in refused and refused[kernel]():
        grouped = f" in groups of {one.q.shape[-3] // one.k.shape[-3]}" if one.q.shape[-3] != one.k.shape[-3] else ""
        masked = " with a mask" if one.mask is not None else ""
        kind = str(one.q.dtype).removeprefix("torch.")
        raise UnsupportedError(
            f"the {kernel} kernel does not run {kind} heads of {one.q.shape[-1]}{grouped}{masked}", "--attention sdpa"
        )


def _run_flash(one: Query, scale: float | None) -> Tensor:
    width = one.q.shape[-1]
    scale = width**-0.5 if scale is None else scale
    q, k, v = (pad(t, (0, -width % 8)) if width % 8 else t for t in (one.q, one.k, one.v))
    operator = torch.ops.aten._scaled_dot_product_flash_attention.default
    out: Tensor = operator(q, k, v, one.dropout, one.causal, False, scale=scale)[0]
    return out[..., :width] if width % 8 else out


def _run_cudnn(one: Query, scale: float | None) -> Tensor:
    mask = _additive(one)
    operator = torch.ops.aten._scaled_dot_product_cudnn_attention.default
    out: Tensor = operator(one.q, one.k, one.v, mask, one.differentiable, one.dropout, one.causal, False, scale=scale)[
        0
    ]
    return out


def _run_efficient(one: Query, scale: float | None) -> Tensor:
    mask = _additive(one)
    if mask is not None:
        tokens = mask.shape[-1]
        if tokens % ALIGNED_MASK:
            mask = pad(mask, (0, -tokens % ALIGNED_MASK))[..., :tokens]
        mask = mask.expand(*one.q.shape[:3], one.k.shape[-2])
    operator = torch.ops.aten._scaled_dot_product_efficient_attention.default
    out: Tensor = operator(one.q, one.k, one.v, mask, one.differentiable, one.dropout, one.causal, scale=scale)[0]
    return out


def _additive(one: Query) -> Tensor | None:
    """A boolean mask as zeros and -inf in the query's format, a tensor of the mask's own shape."""
    if one.mask is None or one.mask.dtype is not torch.bool:
        return one.mask
    yes, no = (torch.full((), number, dtype=one.q.dtype, device=one.q.device) for number in (0.0, float("-inf")))
    return torch.where(one.mask, yes, no)


def _math(one: Query, scale: float | None) -> Tensor:
    operator = torch.ops.aten._scaled_dot_product_attention_math.default
    out: Tensor = operator(
        one.q, one.k, one.v, _additive(one), one.dropout, one.causal, scale=scale, enable_gqa=one.grouped
    )[0]
    return out
