"""A run in the words of the command line."""

from typing import Any

import pytest

from vramcast.app.options import NAMES
from vramcast.app.predict import predict
from vramcast.domain.run import Adapter, Method, Recompute, TrainRun
from vramcast.domain.run_words import run_words
from vramcast.render.assumed import WITHOUT_FLAG

RUNS: tuple[dict[str, Any], ...] = (
    {"method": "full", "precision": "master-bf16", "accum_steps": 4, "offload": "optimizer"},
    {"method": "lora", "lora_rank": 8, "lora_targets": "q_proj,v_proj", "lora_dropout": 0.1, "dora": True},
    {"method": "qlora", "base_format": "fp4", "kernels": "fused", "loss": "fused-linear"},
    {"method": "serve", "kv_format": "fp8-e4m3", "max_num_seqs": 3, "prefill_tokens": 512},
)


@pytest.mark.parametrize("options", RUNS)
def test_the_words_hold_what_was_asked(options: dict[str, Any]) -> None:
    """Every option that was given stands there with its value."""
    words = run_words(predict("llama-3.1-8b", **options).run)
    assert {name: words[name] for name in options} == options


@pytest.mark.parametrize("options", RUNS)
def test_the_words_make_the_same_run(options: dict[str, Any]) -> None:
    """Given back as options, without what only a framework decides, they lead to the same run."""
    run = predict("llama-3.1-8b", **options).run
    kept = {
        name: value
        for name, value in run_words(run).items()
        if name in NAMES and name not in WITHOUT_FLAG and value is not None
    }
    assert predict("llama-3.1-8b", **kept).run == run


def test_what_does_not_apply_is_left_out() -> None:
    """No rank without adapters, no batch where a model is served."""
    full = run_words(predict("llama-3.1-8b", method="full").run)
    assert not {"lora_rank", "base_format", "max_model_len"} & full.keys()
    assert not {"micro_batch", "optimizer"} & run_words(predict("llama-3.1-8b", method="serve").run).keys()


def test_what_few_runs_have_stands_there_only_where_it_is() -> None:
    """Switches that are off are left out, and no list is empty."""
    adapter = Adapter(modules_to_save=("embed_tokens", "lm_head"))
    run = TrainRun(
        method=Method.LORA, adapter=adapter, recompute=Recompute.FULL, reentrant=True, evaluate=True, save=True
    )
    rare = {"modules_to_save": "embed_tokens,lm_head", "reentrant": True, "evaluate": True, "save": True}
    assert rare.items() <= run_words(run).items()
    assert not rare.keys() & run_words(TrainRun(method=Method.LORA, adapter=Adapter())).keys()
