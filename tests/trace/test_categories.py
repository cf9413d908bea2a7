"""Nothing in a record is unknown: every block has a category that says what it is, and the parts sum to the whole."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch

from tests.trace.tiny_models import FAMILIES, tiny
from vramcast.catalog.gpus import find_device
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category
from vramcast.domain.run import Adapter, Method, Precision, Quantization, Recompute, Run, ServeRun, TrainRun
from vramcast.domain.timeline import Timeline
from vramcast.trace.account import INPUTS, LABELS
from vramcast.trace.forecast import trace_run
from vramcast.trace.replay import replay
from vramcast.trace.settled import settle

T = 16
DEVICE = find_device("rtx-4090")
FULL = TrainRun(seq_len=T)
ADAPTER = Adapter(rank=4, targets=("q_proj", "down_proj"), dropout=0.1)
RUNS: dict[str, Run] = {
    "lora": TrainRun(seq_len=T, method=Method.LORA, adapter=ADAPTER),
    "qlora": TrainRun(
        seq_len=T, method=Method.QLORA, adapter=ADAPTER, quantization=Quantization(format=find_format("nf4"))
    ),
    "amp": TrainRun(seq_len=T, precision=Precision.AMP_FP16),
    "recomputed": TrainRun(seq_len=T, recompute=Recompute.FULL),
    "reentrant": TrainRun(seq_len=T, recompute=Recompute.FULL, reentrant=True),
    "accumulation": TrainRun(seq_len=T, accum_steps=2),
    "evaluated": TrainRun(seq_len=T, evaluate=True, save=True),
    "served": ServeRun(kv_format=find_format("bf16"), max_model_len=T, max_num_seqs=2),
    "chunked": ServeRun(kv_format=find_format("bf16"), max_model_len=T, max_num_seqs=2, prefill_tokens=8),
}
CASES: list[tuple[str, Run]] = [(family, FULL) for family in FAMILIES]
CASES += [("llama", run) for run in RUNS.values()]
CASES += [("qwen3_moe", RUNS[name]) for name in ("lora", "recomputed", "served")]
NAMES = [f"{family}-full" for family in FAMILIES] + [f"llama-{name}" for name in RUNS]
NAMES += [f"qwen3_moe-{name}" for name in ("lora", "recomputed", "served")]


@cache
def record(family: str, run: Run) -> Timeline:
    """The run's events on a device."""
    with torch.device("meta"):
        model: Any = tiny(family)()
    return trace_run(model.config.to_dict(), run, find_stack("torch"), DEVICE).timeline


def outliving(timeline: Timeline, category: Category) -> list[tuple[str, str, str, int]]:
    """Blocks of `category` that live when another stretch of the program begins."""
    found: list[tuple[str, str, str, int]] = []
    alive: set[int] = set()
    marks = iter((*timeline.marks, None))
    mark = next(marks)
    for number, (born, block) in enumerate(timeline.events):
        while mark is not None and mark.event == number:
            named = [timeline.blocks[one] for one in alive if timeline.blocks[one].category is category]
            found += [(mark.name, one.operator, one.module, one.bytes) for one in named]
            mark = next(marks)
        (alive.add if born else alive.remove)(block)
    return found


@pytest.mark.parametrize(("family", "run"), CASES, ids=NAMES)
def test_every_block_is_known_for_what_it_is(family: str, run: Run) -> None:
    """It has a category with words of its own; what is called temporary is gone when its phase is; the sums agree."""
    timeline = record(family, run)
    assert {block.category for block in timeline.blocks} <= set(LABELS)
    assert outliving(timeline, Category.TEMPORARY) == []
    replayed = replay(timeline)
    settled = settle(timeline, DEVICE)
    live: dict[int, int] = {}
    most: dict[int, int] = {}
    for born, block in timeline.events:
        if born:
            live[block] = replayed.granted[block]
            most = dict(live) if sum(live.values()) > sum(most.values()) else most
        else:
            del live[block]
    by_category: Counter[Category] = Counter()
    for block, size in most.items():
        by_category[timeline.blocks[block].category] += size
    peak = settled.peak
    assert {term.category: term.bytes for term in peak.terms} == by_category
    assert sum(by_category.values()) == peak.allocated == settled.tiers.allocated
    assert all(sum(part.bytes for part in term.parts) == term.bytes for term in peak.terms)
    assert all(term.label and term.label != "unknown" for moment in settled.moments for term in moment.terms)


def test_a_served_models_activations_are_its_inputs() -> None:
    """No backward pass follows, so nothing is kept for one; a trained model keeps some."""
    words = {}
    for name, run in {"served": RUNS["served"], "trained": FULL}.items():
        moments = settle(record("llama", run), DEVICE).moments
        terms = [term for moment in moments for term in moment.terms if term.category is Category.ACTIVATIONS]
        words[name] = {term.label for term in terms}
    assert words == {"served": {INPUTS}, "trained": {LABELS[Category.ACTIVATIONS]}}
