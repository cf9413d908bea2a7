"""In which formats weights are built, and what is said of those that stay as they are."""

from typing import Any

import pytest
import torch

from tests.trace.test_build import LLAMA, H, L, M
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Adapter, Method, Precision, Quantization, ServeRun, TrainRun
from vramcast.trace.build import build
from vramcast.trace.quantized import place
from vramcast.trace.session import tracing

EXPERTS: dict[str, Any] = LLAMA | {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "head_dim": 16,
}
QWEN3_MOE = EXPERTS | {"model_type": "qwen3_moe"}
GPT_OSS = LLAMA | {"model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16}
ERNIE = LLAMA | {"model_type": "ernie4_5_moe", "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32}
FP8 = {"quantization_config": {"quant_method": "fp8"}}


def serve(name: str | None) -> ServeRun:
    """A served model with weights of this format."""
    return ServeRun(kv_format=find_format("bf16"), weight_format=find_format(name) if name else None)


def formats(config: dict[str, Any], run: TrainRun | ServeRun) -> dict[str, torch.dtype]:
    """Format of each parameter."""
    model = build(config, run).model
    with tracing() as recorder:
        place(model, recorder.device)
    return {name: parameter.dtype for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("config", "name", "expected"),
    [
        (LLAMA, None, torch.bfloat16),
        (LLAMA | {"torch_dtype": "float16"}, None, torch.float16),
        (LLAMA | {"dtype": "float32"}, None, torch.float32),
        (LLAMA | {"dtype": "float32"}, "bf16", torch.bfloat16),
        (LLAMA | {"dtype": "float16"}, "fp32", torch.float32),
        (
            {"model_type": "gemma3", "dtype": "float16", "text_config": LLAMA | {"model_type": "gemma3_text"}},
            None,
            torch.float16,
        ),
    ],
    ids=["default", "torch_dtype", "dtype", "bf16", "fp32", "inner"],
)
def test_served_weights(config: dict[str, Any], name: str | None, expected: torch.dtype) -> None:
    """In the format asked for, else in that of the checkpoint, which may be named beside the inner config."""
    assert set(formats(config, serve(name)).values()) == {expected}


@pytest.mark.parametrize(("name", "expected"), [("nf4", torch.uint8), ("fp4-dq", torch.uint8), ("int8", torch.int8)])
def test_served_weights_in_few_bits(name: str, expected: torch.dtype) -> None:
    """bitsandbytes' layers serve too: seven a layer; the rest is as in the checkpoint."""
    found = list(formats(LLAMA | {"dtype": "float16"}, serve(name)).values())
    assert found.count(expected) == 7 * L
    assert set(found) == {expected, torch.float16}


@pytest.mark.parametrize(("config", "name"), [(LLAMA, "mxfp4"), (LLAMA | FP8, None), (LLAMA, "fp8-e4m3")])
def test_served_weights_that_are_not_traced(config: dict[str, Any], name: str | None) -> None:
    """Formats that transformers' plain layers do not hold are refused, never taken for BF16."""
    with pytest.raises(UnsupportedError, match="weights"):
        build(config, serve(name))


def test_a_quantised_checkpoint_that_is_trained() -> None:
    """Its weights are in the run's format, and that is said."""
    built = build(LLAMA | FP8, TrainRun())
    assert "fp8" in built.notes[0]
    assert {parameter.dtype for parameter in built.model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("config", "precision", "kept"),
    [
        (GPT_OSS, Precision.BF16, ()),
        (GPT_OSS, Precision.FP16, ("norm", "layernorm")),
        (ERNIE, Precision.BF16, ("gate.weight", "moe_statics")),
    ],
)
def test_weights_kept_in_fp32(config: dict[str, Any], precision: Precision, kept: tuple[str, ...]) -> None:
    """What a family wants in FP32 is loaded so: some beside FP16 only, some beside BF16 too."""
    for name, found in formats(config, TrainRun(precision=precision)).items():
        wide = any(part in name for part in kept)
        assert (found is torch.float32) is wide, name


def test_experts_that_tools_pass_over() -> None:
    """Fused experts that are neither quantised nor adapted are named, with their bytes."""
    adapter = Adapter(rank=4, targets=("mlp",))
    quantised = TrainRun(method=Method.QLORA, adapter=adapter, quantization=Quantization(format=find_format("nf4")))
    notes = build(
        GPT_OSS | {"num_hidden_layers": 1}, TrainRun(method=Method.QLORA, quantization=quantised.quantization)
    ).notes
    size = 2 * 4 * (H * 2 * M + M * H)
    assert notes == (f"quantised experts: bitsandbytes leaves fused 3-D ones as they are ({size / 1024:.2f} KiB)",)
    assert build(LLAMA, quantised).notes == ()


def test_experts_that_peft_knows() -> None:
    """Where PEFT adapts them there is nothing to say; where it does not, that is said."""
    lora = TrainRun(method=Method.LORA, adapter=Adapter(rank=4))
    assert build(QWEN3_MOE, lora).notes == ()
    assert build(GPT_OSS, lora).notes == ("adapters on fused 3-D experts: PEFT leaves them alone in this family",)
