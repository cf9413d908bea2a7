"""The one record of an answer: terms, tiers, instants, verdict, and what was assumed."""

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Literal

from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Run
from vramcast.domain.stack import Stack
from vramcast.units import gib


class Category(StrEnum):
    """What memory is used for, in the fixed order of every picture."""

    PARAMETERS = "parameters"
    GRADIENTS = "gradients"
    OPTIMIZER_STATES = "optimizer states"
    ACTIVATIONS = "activations"
    LOGITS = "logits/loss"
    KV_CACHE = "KV cache"
    TEMPORARY = "temporary"
    COMMUNICATION = "communication"
    WORKSPACE = "workspace"
    RUNTIME = "runtime/context"
    FRAGMENTATION = "fragmentation"
    UNEXPLAINED = "unexplained"


class Engine(StrEnum):
    """Which witness answers: closed forms, or the real code on a device that stores nothing."""

    RULES = "rules"
    TRACE = "trace"


class Phase(StrEnum):
    """When memory is held; `resident` means through the whole step."""

    RESIDENT = "resident"
    LOAD = "load"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER_STEP = "optimizer step"
    EVALUATE = "evaluate"
    SAVE = "save"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a term's account: what it is, its formula, its bytes."""

    label: str
    formula: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """
    Bytes with a name, a formula and a source.

    `formula` is written with the letters of the legend, `values` says what each letter stood for, so that
    `formula` with its letters replaced is the arithmetic behind `bytes`. `parts` splits the bytes once more.
    """

    bytes: int
    category: Category
    label: str
    phase: Phase
    formula: str
    values: tuple[tuple[str, float], ...] = ()
    source: str = ""
    exactness: Exactness = Exactness.EXACT
    ignores: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """
    A named moment of the step and the terms alive at it (allocated tier only).

    `idle` are bytes that the allocator holds at this moment but cannot use: freed blocks too small for what is asked.
    """

    phase: Phase
    name: str
    terms: tuple[Term, ...]
    idle: int = 0

    @property
    def allocated(self) -> int:
        """Sum of the terms alive."""
        return sum(term.bytes for term in self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """
    Three answers that are never mixed: live tensors, segments the allocator holds, what nvidia-smi shows.

    `low` and `high` bound the process tier.
    """

    allocated: int
    reserved: int
    process: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the process tier fits: `tight` means it fits, but the high end of the band does not."""

    status: Literal["fits", "tight", "does not fit"]
    capacity: int
    headroom: int

    @property
    def fits(self) -> bool:
        """True for `fits` and `tight`."""
        return self.status != "does not fit"

    @classmethod
    def of(cls, tiers: Tiers, device: Device) -> "Verdict":
        """Fits if the process tier does; tight if it does but the high end of the band does not."""
        headroom = device.usable - tiers.process
        if headroom < 0:
            return cls(status="does not fit", capacity=device.usable, headroom=headroom)
        tight = tiers.high > device.usable
        return cls(status="tight" if tight else "fits", capacity=device.usable, headroom=headroom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """Something the user did not say: the option, the value taken, and who says so."""

    option: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Forecast:
    """
    The answer.

    `terms` are those alive at the peak, fragmentation and runtime included; they sum to `tiers.process`, and without
    those two to `tiers.reserved` and `tiers.allocated`. `instants` holds every moment that competed for the peak.

    Raises:
        AssertionError: the terms do not sum to the tiers. That is a bug in a rule, never the user's fault.
    """

    model: ModelSpec
    run: Run
    stack: Stack
    device: Device | None
    tiers: Tiers
    terms: tuple[Term, ...]
    instants: tuple[Instant, ...]
    peak: Instant
    verdict: Verdict | None
    assumptions: tuple[Assumption, ...] = ()
    unmodelled: tuple[str, ...] = ()
    engine: Engine = Engine.RULES

    def __post_init__(self) -> None:
        runtime = sum(t.bytes for t in self.terms if t.category is Category.RUNTIME)
        fragmentation = sum(t.bytes for t in self.terms if t.category is Category.FRAGMENTATION)
        total = sum(t.bytes for t in self.terms)
        assert total == self.tiers.process, (total, self.tiers)
        assert total - runtime == self.tiers.reserved, (total, runtime, self.tiers)
        assert total - runtime - fragmentation == self.tiers.allocated == self.peak.allocated

    def by_category(self) -> dict[Category, int]:
        """Bytes at the peak by category, in the fixed order, empty categories left out."""
        sums = dict.fromkeys(Category, 0)
        for term in self.terms:
            sums[term.category] += term.bytes
        return {category: size for category, size in sums.items() if size}

    def __repr__(self) -> str:
        """One line: the model, the process tier with its band, the verdict."""
        band = f"{gib(self.tiers.low)}–{gib(self.tiers.high)}"
        verdict = f", {self.verdict.status} {self.device.name}" if self.verdict and self.device else ""
        return f"<Forecast {self.model.name}: {gib(self.tiers.process)} GiB ({band}){verdict}>"

    def _repr_html_(self) -> str:
        """What a notebook shows. The renderer is found by name, for the domain knows none."""
        return str(import_module("vramcast.render.html").forecast_html(self))
