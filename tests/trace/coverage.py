"""
Which types of causal language model trace through full training steps.

`python -m tests.trace.coverage` traces every one and rewrites docs/trace-coverage.md.
"""

import logging
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

from tests.trace.coverage_configs import CAUSES, FORMATS, TYPES, config_of
from vramcast.catalog.stacks import find_stack
from vramcast.domain.run import Precision, TrainRun
from vramcast.trace.forecast import trace_run

PAGE = Path(__file__).parents[2] / "docs" / "trace-coverage.md"
B, T = 2, 16
WORKERS = 2
HEAD = """\
# Which models trace

Every type that transformers {version} builds with `AutoModelForCausalLM`, and whether two full training steps of it (forward, loss,
backward, AdamW; {b} × {t} tokens, BF16 unless said otherwise) run on the device that stores nothing. The configurations are tiny
or transformers' defaults with fewer layers and, where the defaults cannot run, the values named here.

**{traced} of {types} types ({share:.1%}).** `python -m tests.trace.coverage` traces them all again and rewrites this page; a test
holds it against a sample on every run.

| type | configuration | traced |
|---|---|---|
"""


class Outcome(NamedTuple):
    """How it went: the number of events, or what was raised."""

    kind: str
    how: str
    events: int
    error: str
    seconds: float

    @property
    def row(self) -> str:
        """A line of the table."""
        return f"| {self.kind} | {self.how} | {'yes' if self.events else f'no: {CAUSES.get(self.kind, self.error)}'} |"


def step(kind: str) -> Outcome:
    """Trace two training steps of a small model of this type."""
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    began = time.perf_counter()
    how, events, error = "default", 0, ""
    precision = FORMATS.get(kind, Precision.BF16)
    run = TrainRun(seq_len=T, micro_batch=B, precision=precision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config, how = config_of(kind)
            events = len(trace_run(config, run, find_stack("transformers"), None).timeline.events)
        except Exception as raised:  # noqa: BLE001 - whatever a model's code raises is what the table says
            error = f"{type(raised).__name__}: {(str(raised).splitlines() or [''])[0][:150]}"
    if precision is not Precision.BF16:
        how = f"{how}, {precision}"
    return Outcome(kind, how, events, error, time.perf_counter() - began)


def page(outcomes: list[Outcome]) -> str:
    """The page of the documentation."""
    traced = sum(bool(outcome.events) for outcome in outcomes)
    head = HEAD.format(
        version=transformers.__version__, b=B, t=T, traced=traced, types=len(outcomes), share=traced / len(outcomes)
    )
    return head + "".join(f"{outcome.row}\n" for outcome in outcomes)


def main(kinds: list[str]) -> None:
    """Trace `kinds`, or all types, which rewrites the page."""
    outcomes = []
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        for outcome in pool.map(step, kinds or TYPES):
            outcomes.append(outcome)
            print(f"{outcome.seconds:6.1f} s  {outcome.row}", outcome.error, flush=True)  # noqa: T201 - progress of a command
    if not kinds:
        PAGE.write_text(page(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
