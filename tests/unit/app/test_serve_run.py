"""From options to a served model."""

from dataclasses import replace
from typing import Any

import pytest

from tests.models import LLAMA_8B, model
from vramcast.app.options import SERVING, TRAINING, Options
from vramcast.app.serve_run import choose_serve_run
from vramcast.catalog.stacks import find_stack
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import AttentionKernel, ServeRun

LLAMA = model(LLAMA_8B)


def chosen(spec: ModelSpec = LLAMA, **options: Any) -> tuple[ServeRun, dict[str, Assumption]]:
    """The run, and what was assumed by option."""
    run, assumed = choose_serve_run(Options(options), spec, find_stack("transformers"))
    return run, {one.option: one for one in assumed}


def test_everything_said_is_taken() -> None:
    """No assumption is left."""
    run, assumed = chosen(
        weight_format="nf4",
        kv_format="fp8-e4m3",
        max_model_len=8192,
        max_num_seqs=16,
        prefill_tokens=2048,
        attention="eager",
    )
    assert run.weight_format is not None
    assert (run.weight_format.name, run.kv_format.name) == ("nf4", "fp8-e4m3")
    assert (run.max_model_len, run.max_num_seqs, run.prefill_tokens) == (8192, 16, 2048)
    assert run.attention is AttentionKernel.EAGER
    assert assumed == {}


def test_everything_silent_is_written_down() -> None:
    """One sequence of 4,096 tokens in the checkpoint's format, read at once."""
    run, assumed = chosen()
    assert (run.max_model_len, run.max_num_seqs, run.prefill_tokens) == (4096, 1, None)
    assert {name: one.value for name, one in assumed.items()} == {
        "weight_format": "bf16",
        "kv_format": "bf16",
        "max_model_len": "4096",
        "max_num_seqs": "1",
        "attention": "sdpa",
        "prefill_tokens": "4096",
    }
    assert assumed["attention"].reason == "default of transformers 5.23.0"


def test_prefill_reads_all_prompts() -> None:
    """B · T tokens, if nobody says otherwise."""
    _, assumed = chosen(max_model_len=1000, max_num_seqs=8)
    assert assumed["prefill_tokens"].value == "8000"


@pytest.mark.parametrize(
    ("spec", "weights", "cache"),
    [
        (model(LLAMA_8B, dtype="float16"), "fp16", "fp16"),
        (model(LLAMA_8B, dtype="float32"), "fp32", "fp32"),
        (replace(LLAMA, quantized="mxfp4"), "mxfp4", "bf16"),
        (replace(LLAMA, dtype="fp8-e4m3"), "fp8-e4m3", "bf16"),
    ],
    ids=["fp16", "fp32", "mxfp4", "fp8"],
)
def test_formats_are_the_checkpoints_own(spec: ModelSpec, weights: str, cache: str) -> None:
    """A cache is kept in the format that the model computes in, never below 16 bits unasked."""
    run, _ = chosen(spec)
    assert run.weight_format is not None
    assert (run.weight_format.name, run.kv_format.name) == (weights, cache)


def test_headers_say_how_a_checkpoint_is_stored() -> None:
    """Then the format is left open: their bytes count."""
    run, assumed = chosen(replace(LLAMA, stored=(("bf16", 1000),)))
    assert run.weight_format is None
    assert assumed["weight_format"].value == "as stored"


def test_a_bare_size_has_no_prefill_and_no_attention() -> None:
    """Nothing is assumed of what cannot be computed."""
    _, assumed = chosen(bare_model("8B", 8 * 10**9))
    assert not {"prefill_tokens", "attention"} & set(assumed)


def test_a_model_without_attention_has_no_kernel_to_assume() -> None:
    """Mamba."""
    _, assumed = chosen(model({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 99}))
    assert "attention" not in assumed


@pytest.mark.parametrize("name", TRAINING)
def test_options_of_training_are_refused(name: str) -> None:
    """Each of them, with what there is for serving."""
    with pytest.raises(InputError, match="belongs to training, not to --method serve") as caught:
        chosen(**{name: "1"})
    assert all(f"--{option.replace('_', '-')}" in caught.value.hint for option in SERVING)


@pytest.mark.parametrize("name", SERVING)
def test_impossible_values_are_refused(name: str) -> None:
    """A number format that is none, a count that is none."""
    with pytest.raises(InputError):
        chosen(**{name: "zero"})
