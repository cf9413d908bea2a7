"""
A traced step in the CPU's dress against the same step on real tensors: every birth of a storage, in order, to the byte.

The tolerance is zero: the sizes of all storages in the order in which they are born, the bytes that live with each of them,
hence the peak, and the bytes that live when each phase begins.
"""

from typing import Any, NamedTuple

import pytest
import torch

from tests.trace.allocator_events import Birth, Curve
from tests.trace.cpu_truth import Build, real_curve, stack, traced_curve
from tests.trace.tiny_models import FAMILIES, tiny
from vramcast.domain.run import Loss, Method, Optimizer, Precision, TrainRun

BF16, FP32, FP16 = torch.bfloat16, torch.float32, torch.float16
TORCH = stack()
TRAINER = stack("hf-trainer", holds_logits="no", embedding_states="fp32")
BITSANDBYTES = (
    Optimizer.ADAMW_8BIT,
    Optimizer.PAGED_ADAMW,
    Optimizer.PAGED_ADAMW_8BIT,
    Optimizer.LION,
    Optimizer.LION_8BIT,
)


def run(**options: Any) -> TrainRun:
    """A small step."""
    return TrainRun(**{"seq_len": 12, "micro_batch": 2, **options})


class Case(NamedTuple):
    """One step."""

    name: str
    build: Build
    run: TrainRun
    stack: Any = TORCH
    options: dict[str, Any] = {}  # noqa: RUF012 - never written to


CASES = [
    *(Case(family, tiny(family), run()) for family in FAMILIES),
    Case("fp32", tiny("llama", FP32), run(precision=Precision.FP32)),
    Case("eager attention", tiny("gemma3_text", attention="eager"), run()),
    Case("amp-bf16, mixture", tiny("mixtral", FP32), run(precision=Precision.AMP_BF16), TRAINER),
    Case("amp-bf16, tied", tiny("qwen3", FP32), run(precision=Precision.AMP_BF16, accum_steps=2), TRAINER),
    Case("amp-fp16", tiny("llama", FP32), run(precision=Precision.AMP_FP16), TRAINER),
    Case("amp-fp16, fused", tiny("gpt2", FP32), run(precision=Precision.AMP_FP16, optimizer=Optimizer.ADAMW_FUSED)),
    Case("master-bf16", tiny("llama"), run(precision=Precision.MASTER_BF16), TRAINER),
    Case("master-fp16", tiny("qwen3", FP16), run(precision=Precision.MASTER_FP16, accum_steps=2), TRAINER),
    Case("accumulation", tiny("qwen3"), run(accum_steps=3), TRAINER),
    Case("evaluation", tiny("llama"), run(), TRAINER, {"evaluate": True, "gather": True}),
    *(
        Case(f"{optimizer}", tiny("llama"), run(optimizer=optimizer), TRAINER)
        for optimizer in Optimizer
        if optimizer not in BITSANDBYTES and optimizer is not Optimizer.ADAMW_FOREACH
    ),
    *(
        Case(f"{way}{' adapters' * lora} {precision}", tiny(family, dtype, checkpointing=way, lora=lora), step, how)
        for way in ("reentrant", "hooks")
        for family, dtype, lora, step, how, precision in (
            ("llama", BF16, False, run(), TORCH, "bf16"),
            ("gemma3_text", FP32, False, run(precision=Precision.AMP_BF16, accum_steps=2), TRAINER, "amp"),
            ("qwen3", BF16, True, run(method=Method.LORA), TRAINER, "bf16"),
            ("llama", FP32, True, run(method=Method.LORA, precision=Precision.AMP_BF16), TRAINER, "amp"),
        )
    ),
    Case("adapters", tiny("phi3", lora=True), run(method=Method.LORA, accum_steps=2), TRAINER),
    Case("adapters, amp", tiny("gpt_neox", FP32, lora=True), run(precision=Precision.AMP_BF16, method=Method.LORA)),
    *(
        Case(f"{loss} {dtype}", tiny("llama", dtype), run(loss=loss, precision=precision), TRAINER)
        for loss in (Loss.CHUNKED, Loss.FUSED_LINEAR)
        for dtype, precision in ((BF16, Precision.BF16), (FP32, Precision.AMP_BF16))
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_trace_equals_real_step_birth_by_birth(case: Case) -> None:
    """Every storage of a real step is born in the trace, in the same order, among as many living bytes."""
    real = real_curve(case.build, case.run, case.stack, **case.options)
    traced = traced_curve(case.build, case.run, case.stack, **case.options)
    assert len(marks(real)) >= 6
    assert traced == real


@pytest.mark.parametrize("optimizer", BITSANDBYTES)
def test_bitsandbytes_keeps_what_the_trace_keeps(optimizer: Optimizer) -> None:
    """What lives when each phase begins is equal; within an update, bitsandbytes' CPU code makes copies that no GPU makes."""
    step = run(optimizer=optimizer)
    real = real_curve(tiny("qwen3"), step, TRAINER, steps=3)
    traced = traced_curve(tiny("qwen3"), step, TRAINER, steps=3)
    assert without_updates(traced) == without_updates(real)


def marks(curve: Curve) -> list[str]:
    """The phases."""
    return [one for one in curve if isinstance(one, str)]


def without_updates(curve: Curve) -> Curve:
    """Forward and backward passes only."""
    left: Curve = []
    inside = False
    for one in curve:
        if isinstance(one, str):
            inside = one.endswith("update")
        if not inside:
            left.append(one)
    assert any(isinstance(one, Birth) for one in left)
    return left
