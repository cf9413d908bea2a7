"""What vramcast says of a published run: the bytes of each tier, and whether it fits the device."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from json import loads

from ledger.published.row import HERE, Measured, Published, Tier
from vramcast.app.predict import SERVE, predict
from vramcast.domain.errors import VramcastError
from vramcast.domain.forecast import Category, Engine, Forecast
from vramcast.domain.stack import Stack

MODELS = HERE / "models"
STACKS = HERE / "stacks.json"

_OF_TIER: dict[Tier, Callable[[Forecast], int]] = {
    Tier.ALLOCATED: lambda one: one.tiers.allocated,
    Tier.RESERVED: lambda one: one.tiers.reserved,
    Tier.PROCESS: lambda one: one.tiers.process,
    Tier.ALLOCATED_CONTEXT: lambda one: one.tiers.allocated + one.tiers.process - one.tiers.reserved,
    Tier.UNKNOWN: lambda one: one.tiers.process,
    Tier.WEIGHTS: lambda one: one.by_category()[Category.PARAMETERS],
    Tier.CACHE: lambda one: one.by_category()[Category.KV_CACHE],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """One number of a row beside its forecast; `measured` is None where only the outcome is known."""

    row: Published
    engine: Engine
    measured: Measured | None
    predicted: int
    fits: bool | None

    @property
    def error(self) -> float:
        """(predicted - measured) / measured; 0 where nothing was measured."""
        return self.predicted / self.measured.bytes - 1 if self.measured else 0.0

    @property
    def right(self) -> bool | None:
        """Whether the verdict is what happened; None without a device."""
        return None if self.fits is None else self.fits is not self.row.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that an engine has no answer to, and why."""

    row: Published
    engine: Engine
    reason: str


@cache
def stacks() -> dict[str, Stack]:
    """The software that the rows ran on, by name."""
    return {one.name: one for one in map(_stack, loads(STACKS.read_text(encoding="utf-8")))}


def _stack(plain: dict[str, object]) -> Stack:
    pairs = {name: tuple(plain[name].items()) for name in ("versions", "defaults")}  # type: ignore[attr-defined]
    return Stack(**{**plain, **pairs})  # type: ignore[arg-type]


def model_of(row: Published) -> str:
    """What to call the row's model: a config of the ledger if it has one, else the catalog's name."""
    config = MODELS / f"{row.model}.json"
    return str(config) if config.exists() else row.model


def forecast_of(row: Published, engine: Engine) -> Forecast:
    """
    The forecast of a row's run.

    Raises:
        VramcastError: the engine does not know the run.
    """
    return predict(
        model_of(row),
        device=row.device or None,
        stack=stacks()[row.stack],
        offline=True,
        engine=engine,
        **row.options,
    )


def compare(rows: Iterable[Published], engine: Engine) -> Iterator[Apart | Refused]:
    """Every number of every row beside its forecast; the trace answers for training alone."""
    for row in rows:
        if engine is Engine.TRACE and row.method == SERVE:
            continue
        try:
            forecast = forecast_of(row, engine)
        except VramcastError as error:
            yield Refused(row=row, engine=engine, reason=error.what)
            continue
        fits = forecast.verdict.fits if forecast.verdict and not row.part else None
        for measured in row.measured or (None,):
            predicted = _OF_TIER[measured.tier](forecast) if measured else forecast.tiers.process
            yield Apart(row=row, engine=engine, measured=measured, predicted=predicted, fits=fits)
