"""One run by both engines, and how far they are apart."""

from dataclasses import dataclass

from tests.trace.grid import Case
from vramcast.app.predict import predict
from vramcast.catalog.gpus import find_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Forecast, Phase
from vramcast.sources.read import read_config
from vramcast.trace.forecast import forecast, trace_run

PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER_STEP)
TIERS = ("allocated", "reserved", "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What both say of one case: bytes of (rules, trace) by tier, phase and category at the peak, their worst moments, the rules' band."""

    name: str
    family: str
    method: str
    tiers: dict[str, tuple[int, int]]
    phases: dict[str, tuple[int, int]]
    categories: dict[str, tuple[int, int]]
    moments: tuple[str, str]
    band: tuple[int, int]

    def apart(self, name: str) -> float:
        """(rules - trace) / trace of a tier or phase."""
        rules, trace = (self.tiers | self.phases)[name]
        return rules / trace - 1

    @property
    def within(self) -> bool:
        """The trace's process tier lies in the rules' band."""
        low, high = self.band
        return low <= self.tiers["process"][1] <= high

    @property
    def largest(self) -> tuple[str, int]:
        """The category that they disagree about most at the peak, and by how many bytes."""
        return max(
            ((name, rules - trace) for name, (rules, trace) in self.categories.items()), key=lambda one: abs(one[1])
        )


def both(case: Case) -> tuple[Forecast, Forecast]:
    """The forecasts of rules and trace."""
    model = read_config(case.config, case.family)
    stack, device = find_stack(case.stack), find_device(case.gpu)
    rules = predict(model, case.run, device, stack=stack)
    return rules, forecast(model, trace_run(case.config, case.run, stack, device), case.run, stack, device, ())


def compare(case: Case) -> Outcome:
    """Both engines' tiers, the peak of each phase of the steady state, and what they hold at their peaks."""
    rules, trace = both(case)
    return Outcome(
        name=case.name,
        family=case.family,
        method=case.run.method,
        tiers={name: (getattr(rules.tiers, name), getattr(trace.tiers, name)) for name in TIERS},
        phases={str(phase): (_phase_peak(rules, phase), _phase_peak(trace, phase)) for phase in PHASES},
        categories={str(kind): (_held(rules, kind), _held(trace, kind)) for kind in Category},
        moments=(rules.peak.name, trace.peak.name),
        band=(rules.tiers.low, rules.tiers.high),
    )


def _phase_peak(answer: Forecast, phase: Phase) -> int:
    """The worst of the last step's instants in this phase; the rules know no other step."""
    found = [instant for instant in answer.instants if instant.phase is phase]
    steady = [instant for instant in found if not instant.name.startswith("step 1 ")]
    return max(instant.allocated for instant in steady)


def _held(answer: Forecast, category: Category) -> int:
    return sum(term.bytes for term in answer.peak.terms if term.category is category)
