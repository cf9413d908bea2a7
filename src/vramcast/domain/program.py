"""What is known of any program that was traced."""

from dataclasses import dataclass

from vramcast.domain.device import Device
from vramcast.domain.forecast import Category, Engine, Forecast, Instant, Term, Tiers, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramAccount:
    """
    What a traced program held on its device, and how far the trace could follow it.

    Attributes:
        device: the device it was traced for; None: one without a limit.
        steps: optimizer steps that it made.
        tiers: allocated, reserved, process; verdict: whether the process fits, None without a device.
        terms: those alive at the peak, idle segments and what lies outside the allocator; they sum to the process tier.
        moments: the worst moment of each phase; peak: the worst of all.
        patched: what it used that was not the real thing.
        not_followed: where a real run may differ.
    """

    device: Device | None
    steps: int
    tiers: Tiers
    terms: tuple[Term, ...]
    verdict: Verdict | None
    moments: tuple[Instant, ...]
    peak: Instant
    patched: tuple[str, ...]
    not_followed: tuple[str, ...]
    engine: Engine = Engine.TRACE

    def by_category(self) -> dict[Category, int]:
        """Bytes at the peak by category, in the fixed order, empty categories left out."""
        sums = dict.fromkeys(Category, 0)
        for term in self.terms:
            sums[term.category] += term.bytes
        return {category: size for category, size in sums.items() if size}

    def by_module(self) -> dict[str, int]:
        """Bytes allocated at the peak by module, equal layers together, the largest first."""
        sums: dict[str, int] = {}
        for term in self.peak.terms:
            for part in term.parts:
                sums[part.label] = sums.get(part.label, 0) + part.bytes
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


Answer = Forecast | ProgramAccount
