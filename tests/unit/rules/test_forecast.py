"""From instants to tiers and a verdict."""

from dataclasses import replace

import pytest

from tests.models import TINY, model
from vramcast.catalog.gpus import free_form_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Assumption, Category, Forecast, Instant, Phase, Term, Tiers, Verdict
from vramcast.domain.run import TrainRun
from vramcast.rules.forecast import finish, fragmentation
from vramcast.units import GIB, MIB

CONTEXT = 512 * MIB + 150 * MIB
CARD = free_form_device(24 * GIB)


def instant(name: str, *sizes: int, idle: int = 0) -> Instant:
    """A moment with a term of each size."""
    terms = tuple(
        Term(bytes=size, category=Category.ACTIVATIONS, label=f"{name} {size}", phase=Phase.FORWARD, formula="x")
        for size in sizes
    )
    return Instant(phase=Phase.FORWARD, name=name, terms=terms, idle=idle)


def finished(*instants: Instant, no_reuse: int = 0, paged: int = 0, device: Device | None = None) -> Forecast:
    """The forecast of these instants."""
    return finish(
        model(TINY),
        TrainRun(),
        find_stack("torch"),
        device,
        instants=instants,
        no_reuse=no_reuse,
        paged=paged,
        assumptions=(Assumption(option="o", value="v", reason="r"),),
        unmodelled=("the rest",),
    )


def test_the_peak_is_the_largest_instant() -> None:
    """Not a sum of maxima: 10 + 20 wins over 25, whatever stood elsewhere."""
    forecast = finished(instant("a", 25), instant("b", 10, 20), instant("c", 1))
    assert forecast.peak.name == "b"
    assert forecast.tiers == Tiers(allocated=30, reserved=30, process=30 + CONTEXT, low=30 + CONTEXT, high=30 + CONTEXT)
    assert len(forecast.instants) == 3


def test_reserved_is_the_most_that_any_instant_needed_with_what_lay_idle() -> None:
    """The allocator keeps what it once took: an earlier instant with idle blocks may have taken more than the peak."""
    forecast = finished(instant("a", 25, idle=40), instant("b", 30))
    assert forecast.peak.name == "b"
    assert (forecast.tiers.allocated, forecast.tiers.reserved) == (30, 65)
    (idle,) = [term for term in forecast.terms if term.category is Category.FRAGMENTATION]
    assert (idle.bytes, idle.label) == (35, "freed blocks too small for what is asked next")


def test_without_idle_blocks_nothing_is_fragmented() -> None:
    """The term is there and says zero."""
    forecast = finished(instant("a", 30), instant("b", 20, idle=10))
    (idle,) = [term for term in forecast.terms if term.category is Category.FRAGMENTATION]
    assert (idle.bytes, idle.label) == (0, "cached, not in use")


@pytest.mark.parametrize(
    ("no_reuse", "paged", "high"),
    [(0, 0, 65 + CONTEXT), (64, 0, 65 + CONTEXT), (100, 0, 100 + CONTEXT), (100, 7, 107 + CONTEXT)],
)
def test_the_band(no_reuse: int, paged: int, high: int) -> None:
    """From no fragmentation to no reuse between categories with paged states resident."""
    tiers = finished(instant("a", 25, idle=40), instant("b", 30), no_reuse=no_reuse, paged=paged).tiers
    assert (tiers.low, tiers.process, tiers.high) == (30 + CONTEXT, 65 + CONTEXT, high)


def test_what_was_assumed_and_left_out_comes_along() -> None:
    """The record carries both, and no verdict without a device."""
    forecast = finished(instant("a", 1))
    assert forecast.assumptions[0].option == "o"
    assert forecast.unmodelled == ("the rest",)
    assert forecast.verdict is None


@pytest.mark.parametrize(
    ("process", "high", "status", "fits"),
    [
        (24 * GIB, 24 * GIB, "fits", True),
        (24 * GIB, 24 * GIB + 1, "tight", True),
        (24 * GIB + 1, 25 * GIB, "does not fit", False),
        (1, 2, "fits", True),
    ],
)
def test_the_verdict(process: int, high: int, status: str, *, fits: bool) -> None:
    """It fits up to the last usable byte; it is tight if only the high end of the band does not fit."""
    tiers = Tiers(allocated=0, reserved=0, process=process, low=0, high=high)
    verdict = Verdict.of(tiers, CARD)
    assert (verdict.status, verdict.fits, verdict.capacity) == (status, fits, 24 * GIB)
    assert verdict.headroom == 24 * GIB - process


def test_usable_memory_counts_not_what_was_sold() -> None:
    """A card of 24 GiB of which 23 can be used."""
    tiers = Tiers(allocated=0, reserved=0, process=int(23.5 * GIB), low=0, high=0)
    assert Verdict.of(tiers, CARD).fits
    assert not Verdict.of(tiers, replace(CARD, usable=23 * GIB)).fits


def test_fragmentation_is_what_lies_idle() -> None:
    """It keeps the label that says why."""
    term = fragmentation(7 * MIB, "freed blocks")
    assert (term.bytes, term.label, term.category) == (7 * MIB, "freed blocks", Category.FRAGMENTATION)
    assert term.exactness is Exactness.MODELLED
