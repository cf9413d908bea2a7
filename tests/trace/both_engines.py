"""One run by both engines, and how far they are apart."""

from dataclasses import asdict, dataclass
from typing import Any

from tests.trace.grid import Case
from vramcast.app.predict import predict
from vramcast.catalog.gpus import find_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Forecast, Phase
from vramcast.sources.read import read_config
from vramcast.trace.forecast import forecast, trace_run

PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER_STEP)
TIERS = ("allocated", "reserved", "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What both say of one case, in bytes: `tiers` and `phases` hold (rules, trace) by name."""

    case: Case
    tiers: dict[str, tuple[int, int]]
    phases: dict[str, tuple[int, int]]

    def apart(self, name: str) -> float:
        """(rules - trace) / trace of a tier or phase."""
        rules, trace = (self.tiers | self.phases)[name]
        return rules / trace - 1


def both(case: Case) -> tuple[Forecast, Forecast]:
    """The forecasts of rules and trace."""
    model = read_config(case.config, case.family)
    stack, device = find_stack(case.stack), find_device(case.gpu)
    rules = predict(model, case.run, device, stack=stack)
    return rules, forecast(model, trace_run(case.config, case.run, stack, device), case.run, stack, device, ())


def compare(case: Case) -> Outcome:
    """Both engines' tiers, and the peak of each phase of the steady state."""
    rules, trace = both(case)
    tiers: list[dict[str, Any]] = [asdict(rules.tiers), asdict(trace.tiers)]
    return Outcome(
        case=case,
        tiers={name: (tiers[0][name], tiers[1][name]) for name in TIERS},
        phases={str(phase): (_phase_peak(rules, phase), _phase_peak(trace, phase)) for phase in PHASES},
    )


def _phase_peak(answer: Forecast, phase: Phase) -> int:
    """The worst of the last step's instants in this phase; the rules know no other step."""
    found = [instant for instant in answer.instants if instant.phase is phase]
    steady = [instant for instant in found if not instant.name.startswith("step 1 ")]
    return max((instant.allocated for instant in steady), default=0)
