"""A program that is being traced, and what it held once it is over."""

from collections.abc import Mapping
from importlib import import_module

from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.program import ProgramAccount
from vramcast.domain.timeline import Timeline
from vramcast.trace.notes import Notes
from vramcast.trace.settled import settle


class Program:
    """
    What `vramcast.trace` gives: it answers once its block is over, and `print` shows all of it.

    Attributes:
        timeline: every allocation and its end.
        account: tiers, verdict, and the moments of the most, as one record.
    """

    def __init__(self, device: Device | None) -> None:
        self.device = device
        self.notes = Notes()
        self._timeline: Timeline | None = None
        self._steps = 0
        self._account: ProgramAccount | None = None

    @property
    def timeline(self) -> Timeline:
        """Every allocation and its end, in program order."""
        if self._timeline is None:
            raise InputError("a traced block answers once it is over", "ask after the `with` block")
        return self._timeline

    @property
    def account(self) -> ProgramAccount:
        """Tiers, verdict, and the moments of the most."""
        if self._account is None:
            self._account = _account(self.timeline, self._steps, self.device, self.notes)
        return self._account

    @property
    def peak_allocated(self) -> int:
        """Most bytes of live tensors, as `torch.cuda.max_memory_allocated` counts them."""
        return self.account.tiers.allocated

    @property
    def peak_reserved(self) -> int:
        """Most bytes that the caching allocator held."""
        return self.account.tiers.reserved

    def live_at_peak(self) -> Mapping[str, int]:
        """Bytes of live tensors at the peak, by category."""
        return {term.category.value: term.bytes for term in self.account.peak.terms}

    def by_module(self) -> Mapping[str, int]:
        """Bytes of live tensors at the peak, by module, the largest first; `*` stands for each layer."""
        return self.account.by_module()

    @property
    def patched(self) -> tuple[str, ...]:
        """What the program used that was not the real thing."""
        return self.notes.all_patched

    @property
    def not_followed(self) -> tuple[str, ...]:
        """Where a real run may differ."""
        return self.notes.all_not_followed

    def finish(self, timeline: Timeline, steps: int) -> None:
        """The block is over, after so many optimizer steps."""
        self._timeline, self._steps = timeline, steps

    def __str__(self) -> str:
        """The whole account. The renderer is found by name: it stands above this room."""
        if self._timeline is None:
            return "<a traced block that is not over>"
        return str(import_module("vramcast.render.program").program_text(self.account))


def _account(timeline: Timeline, steps: int, device: Device | None, notes: Notes) -> ProgramAccount:
    settled = settle(timeline, device)
    return ProgramAccount(
        device=device,
        steps=steps,
        tiers=settled.tiers,
        terms=settled.terms,
        verdict=settled.verdict,
        moments=settled.moments,
        peak=settled.peak,
        patched=notes.all_patched,
        not_followed=notes.all_not_followed,
    )
