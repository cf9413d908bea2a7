"""The page that the measurements become."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from benchmarks.steps import Step

GB, MIB_IN_KIB = 1e9, 1 << 10
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
LETTERS = {
    "B": "micro-batch 1, 4, 16",
    "T": "1,024, 4,096, 16,384 tokens",
    "L": "8, 32, 128 layers",
    "L whole": "8, 32, 128 layers, none folded",
}
HEAD = """# How fast the trace is

Two training steps, traced by vramcast and by torch's own MemTracker (`torch.distributed._tools.mem_tracker`), in one run of
`make bench-peers`, which rewrites this page. Measured on {machine}.

Each figure is of a process of its own. Seconds are those of the wall clock, and in brackets those of the processor, since this
machine may have had other work; imports are not counted. Memory is the most that the whole process held (`getrusage`), and in
brackets what of that came after the imports. The peak is what each answers. vramcast's is the best of three processes.

| step | vramcast | aim | MemTracker | vramcast, memory | MemTracker, memory | vramcast, peak | MemTracker, peak |
|---|---|---|---|---|---|---|---|
"""
NOTES = """
- vramcast forecasts an {gpu}: its peak holds what CUDA's kernels take for themselves, which MemTracker does not see.
- Under MemTracker transformers takes fake tensors for a graph being traced. It then builds an attention mask and repeats keys and
  values for it, which a real run does not: at 4,096 tokens 84 MB a layer of this model, and the difference of the peaks of LoRA.
- Both build the same model by the same code, on `meta`, bitsandbytes' layers included. MemTracker hooks every parameter and stops
  at the first frozen one; here it is kept from that, or it could not follow adapters at all. It is given {limit} s.
- vramcast records equal layers once and repeats their events, which is exact (a test holds both equal). Without that, see `L whole`.

## How it grows

Llama-3.1-8B, QLoRA, 1,024 tokens, micro-batch 1. Seconds of the wall clock (processor), warm, the best of three.

| what grows | × 1 | × 4 | × 16 |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One step measured by both; `theirs` is None if there was no answer, for `why`."""

    step: Step
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any] | None
    why: str = ""


def page(
    readings: Sequence[Reading], growths: Mapping[str, Sequence[Mapping[str, Any]]], gpu: str, limit: float, cores: int
) -> str:
    """Markdown."""
    machine = f"{cores} cores ({platform.machine()}), " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    rows = "".join(_row(reading) for reading in readings)
    grown = "".join(
        f"| {axis}: {LETTERS[axis]} | {' | '.join(_seconds(one) for one in found)} |\n"
        for axis, found in growths.items()
    )
    return HEAD.format(machine=machine) + rows + NOTES.format(gpu=gpu, limit=f"{limit:.0f}") + grown


def _row(reading: Reading) -> str:
    step, ours, theirs = reading.step, reading.ours, reading.theirs
    aim = f"{step.aim:.0f} s" if step.aim else "—"
    others = (_seconds(theirs), _memory(theirs), _peak(theirs)) if theirs else (reading.why, "—", "—")
    cells = (step.title, _seconds(ours), aim, others[0], _memory(ours), others[1], _peak(ours), others[2])
    return f"| {' | '.join(cells)} |\n"


def _seconds(one: Mapping[str, Any]) -> str:
    return f"{one['wall']:.1f} s ({one['cpu']:.1f})"


def _memory(one: Mapping[str, Any]) -> str:
    return f"{one['peak'] / MIB_IN_KIB:.0f} MiB ({(one['peak'] - one['before']) / MIB_IN_KIB:.0f})"


def _peak(one: Mapping[str, Any]) -> str:
    return f"{one['answer']['allocated'] / GB:,.2f} GB"
