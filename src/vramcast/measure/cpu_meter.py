"""What a program takes on the CPU: every allocation and free that torch's allocator reports, and the process's RAM."""

from types import TracebackType
from typing import Any, Self

from torch.profiler import ProfilerActivity, profile, record_function

from vramcast.domain.forecast import Phase
from vramcast.measure import resident_set
from vramcast.measure.reading import BEFORE, Open, Reading
from vramcast.measure.storages import live_bytes

CPU = "cpu"
MARK = "vramcast phase"
MEMORY = "[memory]"


class CpuMeter:
    """
    Reads the bytes of live tensors phase by phase, while it is entered as a context; `readings` are there afterwards.

    Counts what torch's CPU allocator gives out, as asked for, and what kernels take for a moment; in the phases' order.

    Source:   torch.profiler's memory events (`profile_memory`), on top of the storages alive when it is entered.
    Ignores:  frees of those storages, other threads of Python, and memory that libraries take past torch's allocator. The
              profiler's own notes are in `process`.
    """

    device = CPU
    context: int | None = None  # there is none

    def __init__(self) -> None:
        self.readings: tuple[Reading, ...] = ()
        self._phases: list[Open] = [BEFORE]
        self._rams: list[int] = []
        self._resident = 0
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)

    def __enter__(self) -> Self:
        self._resident = live_bytes(CPU)
        self._profile.__enter__()
        resident_set.set_mark()
        return self

    def enter(self, name: str, phase: Phase = Phase.RESIDENT) -> None:
        """From here on the program does this."""
        self._rams.append(resident_set.peak())
        self._phases.append(Open(phase=phase, name=name))
        with record_function(f"{MARK} {len(self._rams)}"):
            resident_set.set_mark()

    def wait(self) -> None:
        """Until the device has done what it was told; the CPU has."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rams.append(resident_set.peak())
        self._profile.__exit__(kind, error, traceback)
        self.readings = self._read()

    def _read(self) -> tuple[Reading, ...]:
        levels = _levels(self._profile.profiler.kineto_results.events(), self._resident)  # type: ignore[union-attr]
        found = zip(self._phases, levels, self._rams, strict=True)
        readings = [
            Reading(phase=one.phase, name=one.name, allocated=most, held=last, reserved=None, process=ram)
            for one, (most, last), ram in found
        ]
        return tuple(readings if len(readings) == 1 else readings[1:])


def _levels(events: list[Any], live: int) -> list[tuple[int, int]]:
    """The highest and the last level of live bytes in each phase."""
    levels: list[tuple[int, int]] = []
    most = live
    for event in sorted(events, key=lambda one: one.start_ns()):
        name: str = event.name()
        if name.startswith(MARK):
            levels.append((most, live))
            most = live
        elif name == MEMORY and event.device_type().name == "CPU":
            live += event.nbytes()
            most = max(most, live)
    return [*levels, (most, live)]
