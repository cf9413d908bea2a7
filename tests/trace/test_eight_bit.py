"""Adapters over 8-bit weights by both engines."""

from dataclasses import replace

import pytest

from tests.trace.both_engines import compare
from tests.trace.grid import Case
from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import Adapter, Loss, Method, Optimizer, Quantization, Recompute, TrainRun

INT8 = Quantization(format=find_format("int8"))
RUN = TrainRun(
    method=Method.QLORA, optimizer=Optimizer.ADAMW_FUSED, adapter=Adapter(), quantization=INT8, recompute=Recompute.FULL
)
UPCAST = replace(RUN, quantization=replace(INT8, upcast=True), autocast=True)


@pytest.mark.parametrize(
    ("run", "apart"),
    [
        (replace(RUN, recompute=Recompute.NONE), 0.01),
        (RUN, 0.01),
        (UPCAST, 0.01),
        (replace(RUN, loss=Loss.CHUNKED), 0.04),
        (replace(UPCAST, loss=Loss.CHUNKED), 0.04),
        (replace(RUN, reentrant=True), 0.01),
        (replace(RUN, loss=Loss.CHUNKED, seq_len=8192, reentrant=True), 0.02),
        (replace(RUN, loss=Loss.CHUNKED, seq_len=8192), 0.02),
    ],
)
def test_rules_and_trace_agree_about_eight_bit_layers(run: TrainRun, apart: float) -> None:
    """On the peak of live tensors, where the newer checkpointing does not free the inputs of 8-bit layers, and the older one does."""
    outcome = compare(Case(family="llama", number=0, run=run, stack="torch", gpu="rtx-4090"))
    assert abs(outcome.apart("allocated")) <= apart


@pytest.mark.parametrize("reentrant", [False, True])
def test_rules_and_trace_agree_about_both_ways_of_checkpointing(reentrant: bool) -> None:
    """The older one holds each block's output while its backward runs."""
    four = replace(UPCAST, quantization=Quantization(format=find_format("nf4"), upcast=True), seq_len=8192)
    run = replace(four, loss=Loss.CHUNKED, reentrant=reentrant)
    outcome = compare(Case(family="llama", number=0, run=run, stack="torch", gpu="rtx-4090"))
    assert abs(outcome.apart("backward")) <= 0.005
