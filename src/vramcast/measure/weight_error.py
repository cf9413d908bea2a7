"""What four bits do to weights: the levels, the error, and the bytes that double quantisation saves."""

from dataclasses import dataclass
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from torch import Tensor

from vramcast.measure.storages import storage_bytes

BLOCK = 64  # weights that share a scale
INT4_LARGEST = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightError:
    """
    How a format stores some weights.

    Attributes:
        format: `nf4`, `nf4-dq`, `fp4` or `int4`.
        relative: root mean square of the error over that of the weights.
        bytes: what is stored: codes and scales, and, for double quantisation, the scales' own scales, offset and table.
    """

    format: str
    relative: float
    bytes: int


def weight_errors(weights: Tensor) -> tuple[WeightError, ...]:
    """
    `weights` stored by bitsandbytes as NF4 (once more with double quantisation) and FP4, and as evenly spaced INT4.

    Each block of 64 weights is scaled by its largest. Source: arXiv:2305.14314, sections 2 and 3.
    """
    by_bitsandbytes = (("nf4", "nf4", False), ("nf4-dq", "nf4", True), ("fp4", "fp4", False))
    found = [_stored(weights, name, kind, is_double) for name, kind, is_double in by_bitsandbytes]
    blocks = weights.float().reshape(-1, BLOCK)
    scales = blocks.abs().amax(dim=1, keepdim=True) / INT4_LARGEST
    decoded = ((blocks / scales).round() * scales).reshape(weights.shape)
    size = weights.numel() // 2 + storage_bytes([scales])
    return (*found, WeightError(format="int4", relative=_relative(weights, decoded), bytes=size))


def levels(kind: str) -> tuple[float, ...]:
    """The values that a code of `nf4` or `fp4` stands for, of a block whose largest is 1, in rising order."""
    state: Any = quantize_4bit(torch.ones(BLOCK), quant_type=kind)[1]
    return tuple(sorted(state.code.tolist()))


def _stored(weights: Tensor, name: str, kind: str, is_double: bool) -> WeightError:
    codes, state = quantize_4bit(weights, blocksize=BLOCK, quant_type=kind, compress_statistics=is_double)
    parts: list[Any] = [codes, state.absmax]
    if is_double:
        parts += [state.offset, state.state2.absmax, state.state2.code]
    decoded = dequantize_4bit(codes, state)
    return WeightError(format=name, relative=_relative(weights, decoded), bytes=storage_bytes(parts))


def _relative(weights: Tensor, decoded: Tensor) -> float:
    error = (decoded.float() - weights.float()).square().mean() / weights.float().square().mean()
    return error.sqrt().item()
