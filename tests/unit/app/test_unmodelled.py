"""What an answer says that it leaves out."""

from dataclasses import replace
from typing import Any

import pytest

from tests.models import LLAMA_8B, TINY, model
from tests.properties.grown_configs import grow
from vramcast.app.unmodelled import unmodelled
from vramcast.catalog.number_formats import find_format
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import Adapter, AttentionKernel, Method, Offload, Optimizer, Quantization, ServeRun, TrainRun
from vramcast.sources.read import read_config

LLAMA = model(LLAMA_8B)
MIXTRAL = model(TINY, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2)
FULL = TrainRun()
LORA = TrainRun(method=Method.LORA, adapter=Adapter())
SERVED = ServeRun(kv_format=find_format("bf16"))


def says(words: str, spec: ModelSpec, run: TrainRun | ServeRun) -> bool:
    """Whether a note holds these words."""
    return any(words in note for note in unmodelled(spec, run))


def test_every_answer_leaves_out_what_else_runs_on_the_device() -> None:
    """Training and serving, and each says what its own part lacks."""
    for run in (FULL, LORA, SERVED):
        assert says("other processes and the display", LLAMA, run)
    assert says("padded batches", LLAMA, FULL)
    assert says("torch.compile", LLAMA, FULL)
    assert not says("padded batches", LLAMA, SERVED)
    assert says("CUDA graphs", LLAMA, SERVED)


def test_a_bare_size_lacks_all_that_needs_shapes() -> None:
    """A model with layers does not."""
    assert says("needs the model's shape", bare_model("8B", 8 * 10**9), FULL)
    assert not says("needs the model's shape", LLAMA, FULL)


def test_what_the_reader_left_out_comes_first() -> None:
    """And nothing is said twice."""
    notes = unmodelled(replace(LLAMA, notes=("the reader's note", "the reader's note")), FULL)
    assert notes[0] == "the reader's note"
    assert len(set(notes)) == len(notes)


GPT_OSS = read_config(grow("gpt_oss").config, "grown")


@pytest.mark.parametrize(
    ("spec", "targets", "said"),
    [
        (GPT_OSS, ("all-linear",), True),
        (GPT_OSS, ("attention",), False),
        (MIXTRAL, ("all-linear",), False),
        (LLAMA, ("all-linear",), False),
    ],
    ids=["gpt-oss", "attention alone", "mixtral", "dense"],
)
def test_experts_that_peft_leaves_alone(spec: ModelSpec, targets: tuple[str, ...], *, said: bool) -> None:
    """Said where PEFT finds no fused experts in a family that has them, and something beside attention was asked for."""
    run = replace(LORA, adapter=Adapter(targets=targets))
    assert says("fused 3-D experts", spec, run) is said
    assert not says("fused 3-D experts", spec, FULL)


def test_matrices_that_blocks_share_have_no_adapters() -> None:
    """Zamba 2 lends its attention and MLP to later blocks."""
    config = grow("zamba2").config | {"num_mem_blocks": 1}
    zamba = read_config(config, "grown")
    assert says("several blocks share", zamba, LORA)
    assert not says("several blocks share", zamba, FULL)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("DoRA's weight norm", {"adapter": Adapter(dora=True)}),
        ("paged states", {"optimizer": Optimizer.PAGED_ADAMW}),
        ("paged states", {"optimizer": Optimizer.PAGED_ADAMW_8BIT}),
        ("buffers of offloading", {"offload": Offload.OPTIMIZER}),
    ],
)
def test_options_whose_side_effects_are_left_out(words: str, options: dict[str, Any]) -> None:
    """Each says so, and only then."""
    assert says(words, LLAMA, replace(LORA, **options))
    assert not says(words, LLAMA, LORA)


def test_linears_that_no_quantiser_replaces() -> None:
    """A quantised Falcon stays as it is, trained or served; in half precision there is nothing to say."""
    falcon = read_config(grow("falcon").config, "grown")
    words = "own class of them"
    nf4 = find_format("nf4")
    assert says(words, falcon, replace(LORA, method=Method.QLORA, quantization=Quantization(format=nf4)))
    int8 = Quantization(format=find_format("int8"))
    assert says(words, falcon, replace(LORA, method=Method.QLORA, quantization=int8))
    assert says(words, falcon, replace(SERVED, weight_format=nf4))
    assert not says(words, falcon, LORA)
    assert not says(words, falcon, SERVED)
    assert not says(words, falcon, replace(SERVED, weight_format=find_format("fp8-e4m3")))
    assert not says(words, LLAMA, replace(SERVED, weight_format=nf4))


def test_eager_attention_has_a_mask() -> None:
    """Asked for, or because the family has nothing else; SDPA and flash pass none for a whole batch."""
    assert says("mask that eager attention adds", LLAMA, replace(FULL, attention=AttentionKernel.EAGER))
    assert says("mask that eager attention adds", GPT_OSS, FULL)
    assert not says("mask that eager attention adds", LLAMA, FULL)
