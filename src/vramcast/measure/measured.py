"""The record of a real run."""

from dataclasses import dataclass
from statistics import median

from vramcast.domain.run import Run
from vramcast.measure.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step: mean loss of its micro-batches, the loss scale after it, and the seconds it took."""

    loss: float
    scale: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    What a run took, phase by phase.

    Attributes:
        run: what was run; device: `cpu` or the card's name.
        readings: of every phase, in order. Loading, with what it needs for a moment, is the first.
        context: bytes of the CUDA context alone; None on the CPU, or where it was there before.
        steps: of a training run; evaluation: the loss of the pass after them, if there was one.
        seconds: of each pass of a served one, prefill first.
        cache_bytes: a served model's keys, values and states when its sequences have their full length.
        notes: what was done otherwise than asked.
    """

    run: Run
    device: str
    readings: tuple[Reading, ...]
    context: int | None = None
    steps: tuple[Step, ...] = ()
    evaluation: float | None = None
    seconds: tuple[float, ...] = ()
    cache_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def step_seconds(self) -> float:
        """The median step after the first, which warms up; of one step, that one."""
        return median(step.seconds for step in self.steps[1:] or self.steps)

    @property
    def peak(self) -> Reading:
        """The phase after loading in which most bytes of tensors lived."""
        return max(self.readings[1:], key=lambda reading: reading.allocated)

    def reading(self, name: str) -> Reading:
        """
        The phase of that name.

        Raises:
            KeyError: there was none.
        """
        found = {reading.name: reading for reading in self.readings}
        return found[name]
