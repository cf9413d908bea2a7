"""One report minus another."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.made_forecasts import SMALL, qlora_forecast, serve_forecast
from vramcast.app.predict import predict
from vramcast.compare.difference import Difference, difference
from vramcast.domain.forecast import Category
from vramcast.domain.report import Report, report_of

RUNS: tuple[Mapping[str, Any], ...] = (
    {"method": "full", "precision": "amp-bf16", "loss": "stock"},
    {"method": "lora", "lora_rank": 64},
    {"method": "qlora", "micro_batch": 4},
    {"method": "serve", "max_num_seqs": 8},
)


def report(**options: Any) -> Report:
    """Llama 3.1 8B under these options."""
    return report_of(predict("llama-3.1-8b", **options))


@pytest.mark.parametrize(("first", "second"), tuple(product(RUNS, RUNS)))
def test_the_changes_sum_to_the_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Whatever the two runs are: by term, by category, and backwards with the sign turned."""
    before, after = report(**first), report(**second)
    found = difference(before, after)
    assert sum(change.delta for change in found.changes) == after.tiers.process - before.tiers.process == found.delta
    assert sum(found.by_category().values()) == found.delta
    assert difference(after, before).delta == -found.delta
    assert found.tier_deltas()["process"] == found.delta


def test_a_report_does_not_differ_from_itself() -> None:
    """No option, no change."""
    same = difference(report(), report())
    assert same.options == ()
    assert {change.kind for change in same.changes} == {"same"}


def test_options_that_differ() -> None:
    """Values of both sides; an option that one run does not have is None there."""
    found = difference(report(method="lora", lora_rank=8, device="a100"), report(method="full"))
    changed = {one.option: (one.before, one.after) for one in found.options}
    assert changed["method"] == ("lora", "full")
    assert changed["lora_rank"] == (8, None)
    assert found.before.device is not None
    assert changed["gpu"] == (found.before.device.name, None)
    assert "seq_len" not in changed


def test_a_term_that_grew_says_which_letters_made_it() -> None:
    """Doubling the batch doubles what has B in its formula, and nothing else changes."""
    found = difference(report(method="qlora", micro_batch=1), report(method="qlora", micro_batch=2))
    grown = {change.label: change for change in found.changes if change.kind == "grown"}
    assert grown["inputs of blocks 1 to 32"].causes == (("B", 1, 2),)
    assert {change.kind for change in found.changes} == {"grown", "same"}
    assert found.by_category().keys() <= {Category.ACTIVATIONS, Category.TEMPORARY, Category.FRAGMENTATION}


def test_terms_are_paired_by_what_they_are() -> None:
    """The same weights in another format are one term that shrank; rank and format in its name do not matter."""
    found = difference(report(method="lora", precision="bf16", lora_rank=8), report(method="qlora", lora_rank=16))
    weights = next(change for change in found.changes if change.label.startswith("frozen weights"))
    assert weights.kind == "shrunk"
    assert weights.before is not None
    assert weights.before.label == "frozen weights (BF16)"
    adapters = next(change for change in found.changes if change.label.startswith("adapters"))
    assert (adapters.before, adapters.after) != (None, None)
    assert adapters.kind != "added"


def test_terms_of_one_side_only() -> None:
    """A cache is added, adapters are removed."""
    found = difference(report_of(qlora_forecast()), report_of(serve_forecast()))
    kinds = {change.label: change.kind for change in found.changes}
    assert kinds["key and value cache (FP8 E4M3)"] == "added"
    assert kinds["adapters (rank 16, half precision)"] == "removed"


def test_a_sum_that_does_not_hold_is_a_bug() -> None:
    """The difference refuses changes that miss some bytes."""
    found = difference(report_of(qlora_forecast()), report_of(serve_forecast()))
    with pytest.raises(AssertionError):
        replace(found, changes=found.changes[1:])


def test_another_device_changes_the_question_not_the_terms() -> None:
    """The made forecasts hold the same bytes on both devices."""
    found: Difference = difference(report_of(qlora_forecast()), report_of(qlora_forecast(SMALL)))
    assert [one.option for one in found.options] == ["gpu"]
    assert found.delta == 0
