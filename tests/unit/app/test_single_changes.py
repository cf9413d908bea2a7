"""Single changes that lower what a run needs."""

from typing import Any

import pytest

from vramcast.app.predict import predict
from vramcast.app.single_changes import WORTH_IT, SingleChange, single_changes

TOO_LARGE: tuple[dict[str, Any], ...] = (
    {"method": "full"},
    {"method": "lora", "recompute": "none", "loss": "stock", "attention": "eager", "micro_batch": 8},
    {"method": "qlora", "seq_len": 16384, "micro_batch": 4},
    {"method": "serve", "max_num_seqs": 16, "max_model_len": 8192},
)


def changes(**options: Any) -> tuple[SingleChange, ...]:
    """For Llama 3.1 8B on a 24 GB card."""
    return single_changes(predict("llama-3.1-8b", device="rtx-4090", **options), None, options)


@pytest.mark.parametrize("options", TOO_LARGE)
def test_each_change_gives_what_it_promises(options: dict[str, Any]) -> None:
    """The forecast beside it is that of the changed options, and needs at least 2 % less."""
    before = predict("llama-3.1-8b", device="rtx-4090", **options).tiers.process
    found = changes(**options)
    assert found
    for change in found:
        again = predict("llama-3.1-8b", device="rtx-4090", **{**options, change.option: change.value})
        assert again.tiers == change.forecast.tiers
        assert again.tiers.process <= WORTH_IT * before


@pytest.mark.parametrize("options", TOO_LARGE)
def test_what_fits_comes_first_then_what_saves_most(options: dict[str, Any]) -> None:
    """Two groups, the second by what is needed."""
    verdicts = [change.forecast.verdict for change in changes(**options)]
    fits = [verdict.fits for verdict in verdicts if verdict]
    assert fits == sorted(fits, reverse=True)
    rest = [change.forecast.tiers.process for change in changes(**options)][sum(fits) :]
    assert rest == sorted(rest)


def test_a_change_that_contradicts_the_user_is_left_out() -> None:
    """An FP32 master cannot be kept for frozen weights, so no adapter is proposed."""
    found = changes(method="full", precision="master-bf16")
    assert "method" not in {change.option for change in found}


def test_a_device_given_by_its_memory_stays_the_same() -> None:
    """The change is tried on the device that was asked about."""
    options = {"method": "full", "memory": 24 * 2**30}
    found = single_changes(predict("llama-3.1-8b", **options), None, options)
    assert {change.forecast.device for change in found} == {predict("llama-3.1-8b", **options).device}
