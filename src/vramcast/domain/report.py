"""A forecast as plain data: what JSON holds, what two forecasts are compared by, and what its schema promises."""

from dataclasses import dataclass
from typing import Final, Literal

from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Assumption, Category, Engine, Forecast, Part, Phase, Term, Tiers
from vramcast.domain.model import ModelSpec
from vramcast.domain.run_words import Plain, run_words
from vramcast.domain.stack import Stack
from vramcast.version import __version__

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportModel:
    """The model: sizes are 0 where only a parameter count was given."""

    name: str
    model_type: str
    parameters: int
    active_parameters: int
    layers: int
    hidden_size: int
    vocab_size: int
    dtype: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStack:
    """The software whose defaults and habits were taken, and the date they were read."""

    name: str
    version: str
    checked: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDevice:
    """The device: bytes as sold, bytes that a process can hold, and bytes of the driver's context among those."""

    name: str
    label: str
    memory: int
    usable: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTerm:
    """
    Bytes with a name, alive at the peak.

    `formula` is written with letters, `values` says what each letter stood for.
    """

    category: Category
    label: str
    phase: Phase
    bytes: int
    formula: str
    values: dict[str, int | float]
    source: str
    exactness: Exactness
    ignores: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInstant:
    """A moment that competed for the peak: bytes of all live tensors."""

    phase: Phase
    name: str
    allocated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPeak:
    """The moment of the peak."""

    phase: Phase
    instant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportVerdict:
    """Whether the process fits into `capacity` bytes, and how many of them are left (below zero: missing)."""

    status: Literal["fits", "tight", "does not fit"]
    fits: bool
    capacity: int
    headroom: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    A forecast of GPU memory. All sizes are bytes.

    `terms` sum to `tiers.process`; without runtime/context to `tiers.reserved`; without fragmentation too to
    `tiers.allocated`. `run` holds the options of the run under the names of the command line's flags.

    Raises:
        ValueError: the terms do not sum to the tiers.
    """

    schema_version: Literal[1]
    made_by: str
    model: ReportModel
    run: dict[str, Plain]
    stack: ReportStack
    device: ReportDevice | None
    tiers: Tiers
    terms: tuple[ReportTerm, ...]
    instants: tuple[ReportInstant, ...]
    peak: ReportPeak
    verdict: ReportVerdict | None
    assumptions: tuple[Assumption, ...]
    unmodelled: tuple[str, ...]
    engine: Engine = Engine.RULES

    def __post_init__(self) -> None:
        total = sum(term.bytes for term in self.terms)
        runtime = sum(term.bytes for term in self.terms if term.category is Category.RUNTIME)
        fragmentation = sum(term.bytes for term in self.terms if term.category is Category.FRAGMENTATION)
        sums = (total, total - runtime, total - runtime - fragmentation)
        if sums != (self.tiers.process, self.tiers.reserved, self.tiers.allocated):
            raise ValueError("the terms do not sum to the tiers")


def report_of(forecast: Forecast) -> Report:
    """The forecast's report."""
    return Report(
        schema_version=SCHEMA_VERSION,
        made_by=f"vramcast {__version__}",
        model=_model(forecast.model),
        run=run_words(forecast.run),
        stack=_stack(forecast.stack),
        device=_device(forecast.device) if forecast.device else None,
        tiers=forecast.tiers,
        terms=tuple(map(_term, forecast.terms)),
        instants=tuple(
            ReportInstant(phase=one.phase, name=one.name, allocated=one.allocated) for one in forecast.instants
        ),
        peak=ReportPeak(phase=forecast.peak.phase, instant=forecast.peak.name),
        verdict=_verdict(forecast),
        assumptions=tuple(
            Assumption(option=one.option, value=str(one.value), reason=one.reason) for one in forecast.assumptions
        ),
        unmodelled=forecast.unmodelled,
        engine=forecast.engine,
    )


def _model(model: ModelSpec) -> ReportModel:
    return ReportModel(
        name=model.name,
        model_type=model.model_type,
        parameters=model.parameters,
        active_parameters=model.active_parameters,
        layers=model.num_layers,
        hidden_size=model.hidden_size,
        vocab_size=model.vocab_size,
        dtype=model.dtype,
        source=model.source,
    )


def _stack(stack: Stack) -> ReportStack:
    return ReportStack(name=stack.name, version=stack.version, checked=stack.checked, versions=dict(stack.versions))


def _device(device: Device) -> ReportDevice:
    return ReportDevice(
        name=device.name,
        label=device.label,
        memory=device.memory,
        usable=device.usable,
        context=device.context,
    )


def _term(term: Term) -> ReportTerm:
    return ReportTerm(
        category=term.category,
        label=term.label,
        phase=term.phase,
        bytes=term.bytes,
        formula=term.formula,
        values=dict(term.values),
        source=term.source,
        exactness=term.exactness,
        ignores=term.ignores,
        parts=term.parts,
    )


def _verdict(forecast: Forecast) -> ReportVerdict | None:
    verdict = forecast.verdict
    if verdict is None:
        return None
    return ReportVerdict(status=verdict.status, fits=verdict.fits, capacity=verdict.capacity, headroom=verdict.headroom)
