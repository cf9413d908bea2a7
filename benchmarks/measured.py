"""
One measurement, in a process of its own.

    python -m benchmarks.measured trace|mem_tracker STEP     one step
    python -m benchmarks.measured growth B|T|L [whole]       the trace of a growing step, `whole`: no layers folded

Prints JSON. Imports are done before the clock starts; memory is that of the whole process (`getrusage`), imports included.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.steps import GPU, STACK, STEPS, TIMES, Step, grown
from vramcast.catalog.gpus import find_device
from vramcast.catalog.stacks import find_stack
from vramcast.sources.resolve import load_model

BEST_OF = 3


def timed(work: Callable[[], Any]) -> dict[str, Any]:
    """Wall and processor seconds of `work`, memory of the process before and at its peak in KiB, and the answer."""
    before, cpu, wall = _memory(), time.process_time(), time.perf_counter()
    answer = work()
    seconds, used = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": seconds, "cpu": used, "before": before, "peak": _memory(), "answer": answer}


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def trace_of(step: Step, *, fold: bool = True) -> Callable[[], dict[str, int]]:
    """What answers `--exact`: the record, replay and account of the step's events."""
    from vramcast.trace.forecast import forecast, trace_run

    model, stack, device = load_model(step.model), find_stack(STACK), find_device(GPU)

    def work() -> dict[str, int]:
        events = trace_run(step.config, step.run, stack, device, fold=fold)
        tiers = forecast(model, events, step.run, stack, device, ()).tiers
        return {"allocated": tiers.allocated, "reserved": tiers.reserved}

    return work


def growth(axis: str, *, fold: bool) -> list[dict[str, Any]]:
    """The trace of the step as it grows, each the best of three after a first one."""
    trace_of(grown(axis, 1))()
    return [
        min((timed(trace_of(grown(axis, times), fold=fold)) for _ in range(BEST_OF)), key=lambda one: one["cpu"])
        for times in TIMES
    ]


def _main(what: str, which: str, *options: str) -> Any:
    if what == "growth":
        return growth(which, fold="whole" not in options)
    if what == "trace":
        import bitsandbytes  # noqa: F401 - not counted
        import transformers.models.llama.modeling_llama  # noqa: F401

        return timed(trace_of(STEPS[which]))
    from benchmarks.peer import mem_tracker_of

    return timed(mem_tracker_of(STEPS[which]))


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.stdout.write(json.dumps(_main(*sys.argv[1:])))
