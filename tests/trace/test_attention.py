"""Which attention kernel a GPU runs."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from vramcast.domain.run import AttentionKernel
from vramcast.trace.attention import Query, choose_kernel

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
FLASH, CUDNN = AttentionKernel.FLASH, AttentionKernel.CUDNN
EFFICIENT, MATH = AttentionKernel.EFFICIENT, AttentionKernel.MATH
DEVICES = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), None)


def query(dtype: torch.dtype, key: int, value: int = 0, **how: Any) -> Query:
    """Eight heads of 16 tokens on `meta`."""
    heads, tokens, kept = how.get("kv_heads", 8), how.get("tokens", 16), how.get("kept", 16)
    q = torch.empty(2, 8, tokens, key, dtype=dtype, device="meta", requires_grad=how.get("trained", True))
    k = torch.empty(2, heads, kept, key, dtype=dtype, device="meta")
    v = torch.empty(2, heads, kept, value or key, dtype=dtype, device="meta")
    mask = torch.empty(2, 1, tokens, kept, dtype=how["mask"], device="meta") if "mask" in how else None
    return Query(q, k, v, mask, how.get("dropout", 0.0), how.get("causal", False), heads != 8)


F, C, E, M = FLASH, CUDNN, EFFICIENT, MATH
#                            7.5 8.0 8.6 8.9 9.0 10  12  unknown
CHOICES: list[tuple[str, Query, tuple[AttentionKernel, ...]]] = [
    ("bf16 64", query(BF16, 64), (M, F, F, F, C, C, F, F)),
    ("bf16 96", query(BF16, 96), (M, F, F, F, C, C, F, F)),
    ("bf16 128", query(BF16, 128), (M, F, F, F, C, C, F, F)),
    ("bf16 192/128", query(BF16, 192, 128), (M, E, E, E, C, C, E, E)),
    ("bf16 208 trained", query(BF16, 208), (M, F, E, E, C, F, E, F)),
    ("bf16 208 frozen", query(BF16, 208, trained=False), (M, F, F, F, C, F, F, F)),
    ("bf16 256", query(BF16, 256), (M, F, F, F, C, F, F, F)),
    ("bf16 256 dropout", query(BF16, 256, dropout=0.1), (M, F, E, E, C, F, E, F)),
    ("bf16 264", query(BF16, 264), (M, E, E, E, E, E, E, E)),
    ("bf16 80", query(BF16, 80), (M, F, F, F, C, C, F, F)),
    ("bf16 100", query(BF16, 100), (M, F, F, F, F, F, F, F)),
    ("bf16 100 masked", query(BF16, 100, mask=BF16), (M, M, M, M, M, M, M, M)),
    ("fp16 64", query(FP16, 64), (E, F, F, F, C, C, F, F)),
    ("fp16 100", query(FP16, 100), (M, F, F, F, F, F, F, F)),
    ("fp32 64", query(FP32, 64), (E, E, E, E, E, E, E, E)),
    ("fp32 100", query(FP32, 100), (E, E, E, E, E, E, E, E)),
    ("fp32 101", query(FP32, 101), (E, M, M, M, M, M, M, M)),
    ("fp64", query(torch.float64, 64), (M, M, M, M, M, M, M, M)),
    ("bool mask", query(BF16, 64, mask=torch.bool), (M, E, E, E, C, C, E, E)),
    ("additive mask", query(FP16, 64, mask=FP16), (E, E, E, E, C, C, E, E)),
    ("grouped", query(BF16, 128, kv_heads=2), (M, F, F, F, C, C, F, F)),
    ("grouped fp16", query(FP16, 128, kv_heads=2), (M, F, F, F, C, C, F, F)),
    ("grouped fp32", query(FP32, 128, kv_heads=2), (M, M, M, M, M, M, M, M)),
    ("grouped masked", query(BF16, 128, kv_heads=2, mask=torch.bool), (M, M, M, M, C, C, M, M)),
    ("fewer heads, untold", replace(query(BF16, 128, kv_heads=1), grouped=False), (M, M, M, M, M, M, M, M)),
    ("dropout", query(BF16, 64, dropout=0.1), (M, F, F, F, C, C, F, F)),
    ("one key", query(BF16, 64, tokens=1, kept=1), (M, F, F, F, F, F, F, F)),
    ("one query", query(BF16, 64, tokens=1), (M, F, F, F, C, C, F, F)),
    ("one query dropout", query(BF16, 64, tokens=1, dropout=0.1), (M, F, F, F, F, F, F, F)),
    ("causal, more keys", query(FP16, 264, tokens=4, causal=True), (E, E, E, E, E, E, E, E)),
    ("causal, more keys, flash", query(BF16, 64, tokens=4, causal=True), (M, E, E, E, C, C, E, E)),
]


@pytest.mark.parametrize(("name", "one", "kernels"), CHOICES, ids=[name for name, _, _ in CHOICES])
def test_the_kernel_that_a_gpu_runs(name: str, one: Query, kernels: tuple[AttentionKernel, ...]) -> None:
    """The first in the device's order whose conditions hold, worked by hand for eight devices."""
    assert [choose_kernel(one, device) for device in DEVICES] == list(kernels)


def test_training_is_refused_only_while_gradients_are_on() -> None:
    """A head of 208 runs flash on an 8.9 under no_grad, though its query asks for gradients."""
    with torch.no_grad():
        assert choose_kernel(query(BF16, 208), (8, 9)) is FLASH
