"""Each measurement in a process of its own, forked from one that has imported what takes long and never woke CUDA."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ledger.machine import idle_bytes, versions
from ledger.matrix import FAMILIES, Case
from ledger.rows import Card, Reading

PRELOADED = ["torch", "transformers", *(f"transformers.models.{family}.modeling_{family}" for family in FAMILIES)]
PATIENCE = 120.0  # seconds until the first process answers
METHODS = ("forkserver", "spawn")  # the second, where the first wakes CUDA too early


class WorkerError(Exception):
    """A process failed, or took too long."""


class Processes:
    """Starts processes, and waits for what they answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context: Any = None

    def look(self) -> tuple[Card | None, dict[str, str]]:
        """The device, None without CUDA, and the versions of packages."""
        for method in METHODS:
            self._context = multiprocessing.get_context(method)
            if method == "forkserver":
                self._context.set_forkserver_preload(PRELOADED)
            try:
                return self.call(look, idle_bytes(), limit=PATIENCE), versions()
            except WorkerError as error:
                why = error
        raise why

    def measure(self, case: Case, snapshot: str, limit: float) -> tuple[tuple[Reading, ...], float]:
        """
        Readings and seconds of a case.

        Raises:
            WorkerError: it failed, or took longer than `limit` seconds.
        """
        place = self._folder / snapshot if snapshot else None
        answer: tuple[tuple[Reading, ...], float] = self.call(measure_on_cuda, case, idle_bytes(), place, limit=limit)
        return answer

    def call(self, function: Callable[..., Any], *arguments: Any, limit: float) -> Any:
        """What `function` answers in a process of its own."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_answer, args=(sender, function, arguments))
        process.start()
        sender.close()
        try:
            if not receiver.poll(limit):
                raise WorkerError(f"no answer in {limit:.0f} s")
            good, answer = receiver.recv()
        except EOFError:
            raise WorkerError("the process died") from None
        finally:
            process.kill()
            process.join()
        if not good:
            raise WorkerError(answer)
        return answer


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((True, function(*arguments)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        sender.send((False, f"{type(error).__name__}: {error}".splitlines()[0][:200]))


def look(idle: int) -> Card | None:
    """The device, in a process of its own."""
    from ledger.cuda import card

    return card(idle)


def measure_on_cuda(case: Case, idle: int, snapshot: Path | None) -> tuple[tuple[Reading, ...], float]:
    """A case, in a process of its own."""
    from ledger.cuda import CUDA, CudaCounters
    from ledger.measure import measure

    counters = CudaCounters(idle, snapshot)
    found = measure(case, CUDA, counters)
    counters.end()
    return found
