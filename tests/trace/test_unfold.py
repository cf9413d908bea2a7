"""A deep model traced with a few of its equal layers has the record of one that is traced whole."""

from typing import Any

import pytest

from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Loss,
    Method,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    Run,
    ServeRun,
    TrainRun,
)
from vramcast.domain.timeline import Event, Timeline
from vramcast.trace import forecast
from vramcast.trace.forecast import trace_run

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "vocab_size": 128,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 14,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LLAMA = SMALL | {"model_type": "llama"}
FAMILIES: dict[str, dict[str, Any]] = {
    "five local layers and a global one": SMALL
    | {"model_type": "gemma3_text", "num_hidden_layers": 44, "sliding_window": 8},
    "two dense layers before experts": SMALL | EXPERTS | {"model_type": "qwen3_moe", "mlp_only_layers": [0, 1]},
    "local and global layers in turn": SMALL
    | {"model_type": "gpt_oss", "num_hidden_layers": 18, "num_local_experts": 4, "num_experts_per_tok": 2},
}
LORA = {"method": Method.LORA, "adapter": Adapter(targets=("attention",))}
QLORA = LORA | {"method": Method.QLORA, "quantization": Quantization(format=find_format("nf4-dq"))}
FULL, LOOP, FUSED = Recompute.FULL, Optimizer.ADAMW_LOOP, Optimizer.ADAMW_FUSED
RUNS: dict[str, Run] = {
    name: TrainRun(seq_len=16, **how)
    for name, how in {
        "full": {},
        "full, recomputed": {"recompute": FULL},
        "full, fused": {"optimizer": FUSED},
        "full, loop, recomputed": {"optimizer": LOOP, "recompute": FULL},
        "lora": LORA,
        "lora, recomputed, fused": LORA | {"recompute": FULL, "optimizer": FUSED},
        "lora, loop": LORA | {"optimizer": LOOP},
        "qlora, fused": QLORA | {"optimizer": FUSED},
        "qlora everywhere, recomputed": QLORA | {"recompute": FULL, "adapter": Adapter()},
        "qlora, recomputed, loop": QLORA | {"recompute": FULL, "optimizer": LOOP},
        "dora with dropout": LORA | {"adapter": Adapter(targets=("mlp",), dora=True, dropout=0.1)},
        "amp, recomputed": {"precision": Precision.AMP_BF16, "recompute": FULL},
        "masters, two micro-batches": {"precision": Precision.MASTER_BF16, "accum_steps": 2},
        "8 bit, eager": {"optimizer": Optimizer.ADAMW_8BIT, "attention": AttentionKernel.EAGER},
        "muon, chunked": {"optimizer": Optimizer.MUON, "loss": Loss.CHUNKED},
    }.items()
} | {"served": ServeRun(kv_format=find_format("bf16"), max_model_len=32, max_num_seqs=2)}


def settled(record: Timeline) -> list[Event]:
    """Events; what dies together, with no birth and no mark between, dies in the order of birth."""
    marks = {mark.event for mark in record.marks}
    events: list[Event] = []
    dying: list[Event] = []
    for number, event in enumerate(record.events):
        if event.born or number in marks:
            events += sorted(dying)
            dying.clear()
        (events if event.born else dying).append(event)
    return events + sorted(dying)


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many units each trace left out."""
    extra: list[int] = []
    real = forecast.unfold

    def seen(timeline: Timeline, pattern: Any, left_out: int, gathered: Any) -> Timeline:
        whole = real(timeline, pattern, left_out, gathered)
        extra.append(left_out)
        return whole

    monkeypatch.setattr(forecast, "unfold", seen)
    return extra


def check(config: dict[str, Any], run: Run) -> None:
    """
    Both records are equal: blocks, marks, and events.

    The order of deaths in one breath is the interpreter's: a deep graph is taken down in turns of fifty.
    """
    folded, whole = (trace_run(config, run, find_stack("torch"), None, fold=fold).timeline for fold in (True, False))
    assert folded.blocks == whole.blocks
    assert folded.marks == whole.marks
    assert settled(folded) == settled(whole)


@pytest.mark.parametrize("name", RUNS)
def test_a_folded_llama(name: str, unfolded: list[int]) -> None:
    """Eight of fourteen layers are left out, and nothing is missing."""
    check(LLAMA, RUNS[name])
    assert unfolded == [8]


@pytest.mark.parametrize(("name", "left_out"), list(zip(FAMILIES, (1, 6, 3), strict=True)))
def test_a_folded_model_of_other_patterns(name: str, left_out: int, unfolded: list[int]) -> None:
    """The pattern may be of several layers, and need not begin with the first."""
    check(FAMILIES[name], RUNS["full"])
    assert unfolded == [left_out]
