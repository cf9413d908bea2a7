"""
The trace beside torch's own MemTracker, on the same training steps.

    python -m benchmarks.mem_tracker PAGE      rewrites the page with what this machine measures now

Each measurement is a process of its own. A MemTracker that takes longer than `LIMIT` is stopped.
All takes about half an hour, and nearly all of that is MemTracker's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.page import Reading, page
from benchmarks.steps import GPU, STEPS

BEST_OF = 3
LIMIT = 900.0
GROWTHS = ("B", "T", "L", "L whole")


def measured(*words: str, limit: float | None = None) -> Any:
    """
    What `benchmarks.measured` answers.

    Raises:
        TimeoutExpired: it took longer than `limit` seconds.
        CalledProcessError: it failed.
    """
    sys.stderr.write(" ".join(words) + "\n")
    command = [sys.executable, "-m", "benchmarks.measured", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit, check=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])


def readings() -> Iterator[Reading]:
    """Each step by both; ours is the best of three processes, for it is short."""
    for name, step in STEPS.items():
        ours = min((measured("trace", name) for _ in range(BEST_OF)), key=lambda one: float(one["wall"]))
        try:
            theirs, why = measured("mem_tracker", name, limit=LIMIT), ""
        except subprocess.TimeoutExpired:
            theirs, why = None, f"no answer in {LIMIT:.0f} s"
        yield Reading(step=step, ours=ours, theirs=theirs, why=why)


def growths() -> dict[str, list[dict[str, Any]]]:
    """How the trace's time grows."""
    return {axis: measured("growth", *axis.split()) for axis in GROWTHS}


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0))
    Path(sys.argv[1]).write_text(page(list(readings()), growths(), GPU, LIMIT, cores), encoding="utf-8")
