"""What few runs have, by the trace: modules trained whole, the older checkpointing, evaluation and saving."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trace.test_build import LLAMA, V
from vramcast.app.predict import predict
from vramcast.domain.forecast import Forecast, Phase

TOKENS = 256


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The path of a small model's config."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    return str(path)


def traced(config: str, **options: Any) -> Forecast:
    """The trace's forecast."""
    common = {"method": "lora", "lora_rank": 4, "stack": "torch", "seq_len": TOKENS}
    return predict(config, engine="trace", **(common | options))


def worst(forecast: Forecast, phase: Phase) -> int:
    """Live bytes at a phase's worst moment in the last step, 0 if there is no such phase."""
    return max(
        (one.allocated for one in forecast.instants if one.phase is phase and "step 1" not in one.name), default=0
    )


@pytest.mark.parametrize(
    ("method", "options"), [("lora", {}), ("qlora", {}), ("qlora", {"base_format": "int8"}), ("full", {})]
)
def test_evaluation_and_saving_come_after_the_steps(config: str, method: str, options: dict[str, Any]) -> None:
    """Each is a phase with its own worst moment, which leaves those of the steps as they are."""
    if method == "full":
        options = {**options, "lora_rank": None}
    plain = traced(config, method=method, **options)
    more = traced(config, method=method, **options, evaluate=True, save=True)
    assert worst(plain, Phase.EVALUATE) == worst(plain, Phase.SAVE) == 0
    assert 0 < worst(more, Phase.SAVE) < worst(more, Phase.EVALUATE)
    for phase in (Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER_STEP):
        assert worst(more, phase) == worst(plain, phase)


def test_evaluation_holds_logits_but_with_a_loss_that_makes_none(config: str) -> None:
    """At least as many values as tokens times vocabulary, in stock loss and Liger's; TRL's chunked loss stays without."""
    stock, liger, chunked = (
        traced(config, seq_len=2048, loss=loss, evaluate=True) for loss in ("stock", "fused-linear", "chunked")
    )
    logits = 4 * 2048 * V
    assert worst(stock, Phase.EVALUATE) >= logits
    assert worst(liger, Phase.EVALUATE) == worst(stock, Phase.EVALUATE)
    assert worst(chunked, Phase.EVALUATE) != worst(stock, Phase.EVALUATE)


@pytest.mark.parametrize("loss", ["stock", "chunked", "fused-linear"])
def test_modules_trained_whole_reach_the_trace(config: str, loss: str) -> None:
    """Their copies, gradients and states are in the update, whichever way the loss is made."""
    plain = traced(config, loss=loss)
    saved = traced(config, loss=loss, modules_to_save="lm_head")
    assert worst(saved, Phase.OPTIMIZER_STEP) - worst(plain, Phase.OPTIMIZER_STEP) >= 4 * 2 * V * int(
        str(LLAMA["hidden_size"])
    )


def test_the_older_checkpointing_reaches_the_trace(config: str) -> None:
    """Over 8-bit weights it frees what the newer one does not see."""
    eight = {"method": "qlora", "base_format": "int8", "recompute": "full", "loss": "chunked", "seq_len": 2048}
    older, newer = (traced(config, **eight, reentrant=way) for way in (True, False))
    assert older.tiers.allocated < newer.tiers.allocated
