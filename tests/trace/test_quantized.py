"""Quantised layers on the stand-in device: which they are, what they hold, and that a step runs through them."""

from collections import Counter
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from torch import Tensor, nn

from tests.models import TINY
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Adapter, Method, Precision, Quantization, Recompute, TrainRun
from vramcast.trace.build import build
from vramcast.trace.quantized import place, scales
from vramcast.trace.session import tracing

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
FORMATS = ("nf4", "nf4-dq", "fp4", "fp4-dq", "int8")
QKV_BIAS: dict[str, Any] = TINY | {"model_type": "qwen2"}


def qlora(name: str = "nf4-dq", **options: Any) -> TrainRun:
    """A run on quantised weights."""
    upcast = options.pop("upcast", False)
    adapter = options.pop("adapter", Adapter(rank=4))
    quantization = Quantization(format=find_format(name), upcast=upcast)
    return TrainRun(method=Method.QLORA, quantization=quantization, adapter=adapter, **options)


def real_layer(name: str, rows: int, columns: int) -> nn.Module:
    """bitsandbytes' own layer, quantised on the CPU."""
    if name == "int8":
        layer: nn.Module = bnb.nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False)
    else:
        kind, _, double = name.partition("-")
        layer = bnb.nn.Linear4bit(columns, rows, bias=False, compress_statistics=bool(double), quant_type=kind)
    layer.weight.data = torch.randn(rows, columns, dtype=torch.bfloat16)
    return layer.to("cpu")


def held(weight: Any, tensors: list[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    """Shapes and formats of a weight and its scales."""
    return [(tensor.shape, tensor.dtype) for tensor in (weight, *tensors)]


@pytest.mark.parametrize("name", FORMATS)
def test_weights_are_as_bitsandbytes_makes_them(name: str) -> None:
    """Weight, scales, scales of scales, offset and tables: the same shapes and formats as in a layer quantised on the CPU."""
    model = build(TINY, qlora(name)).model
    with tracing() as recorder:
        place(model, recorder.device)
    layer = model.get_submodule("base_model.model.model.layers.1.mlp.down_proj.base_layer")
    real = real_layer(name, layer.out_features, layer.in_features)
    if name == "int8":
        real.init_8bit_state()
    (ours,) = scales(layer)
    (theirs,) = scales(real)
    assert held(*ours) == held(*theirs)
    if name != "int8":
        assert (layer.quant_state.shape, layer.quant_state.dtype) == (real.quant_state.shape, torch.bfloat16)


@pytest.mark.parametrize("name", ["nf4-dq", "int8"])
def test_layers_of_peft(name: str) -> None:
    """PEFT takes its own layers for bitsandbytes', in every linear layer but the head."""
    model = build(TINY, qlora(name)).model
    wanted = "Linear8bitLt" if name == "int8" else "Linear4bit"
    layers = Counter(type(m).__name__ for m in model.modules() if type(m).__module__ == "peft.tuners.lora.bnb")
    assert layers == {wanted: 7 * TINY["num_hidden_layers"]}


@pytest.mark.parametrize("recompute", [Recompute.NONE, Recompute.FULL])
@pytest.mark.parametrize(
    ("name", "dora"), [*((name, False) for name in FORMATS), ("nf4-dq", True), ("int8", True)], ids=str
)
def test_a_step(name: str, dora: bool, recompute: Recompute) -> None:
    """Forward and backward reach every adapter, and no frozen weight; DoRA dequantises whole weights."""
    model = build(TINY, qlora(name, adapter=Adapter(rank=4, dora=dora), recompute=recompute)).model
    with tracing() as recorder:
        place(model, recorder.device)
        tokens = torch.zeros(2, 16, dtype=torch.long)
        with torch.autocast(recorder.device, dtype=torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        assert all((p.grad is not None) is p.requires_grad for p in model.parameters())
        assert all("lora_" in path for path, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("precision", "expected"), [(Precision.BF16, torch.bfloat16), (Precision.AMP_BF16, torch.float32)]
)
def test_weights_come_back_in_the_format_they_were_quantised_from(precision: Precision, expected: torch.dtype) -> None:
    """The backward pass dequantises into the loaded model's format, whatever products are computed in; biases have it too."""
    model = build(QKV_BIAS, qlora(precision=precision)).model
    with tracing() as recorder:
        place(model, recorder.device)
    layers = [m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert {layer.quant_state.dtype for layer in layers} == {expected}
    assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}
    assert {layer.bias.dtype for layer in layers if layer.bias is not None} == {expected}


@pytest.mark.parametrize(("upcast", "expected"), [(False, torch.bfloat16), (True, torch.float32)])
def test_what_is_not_quantised(upcast: bool, expected: torch.dtype) -> None:
    """Embedding, head and norms stay as they were loaded, or become FP32 as PEFT prepares a model."""
    model = build(TINY, qlora(upcast=upcast)).model
    with tracing() as recorder:
        place(model, recorder.device)
    rest = {path: p.dtype for path, p in model.named_parameters() if not p.requires_grad and p.dtype is not torch.uint8}
    assert len(rest) == 2 + 1 + 2 * TINY["num_hidden_layers"]
    assert set(rest.values()) == {expected}


def test_a_format_that_bitsandbytes_has_not() -> None:
    """It is named, with those that exist."""
    with pytest.raises(UnsupportedError, match="stores no weights as mxfp4") as caught:
        build(TINY, qlora("mxfp4"))
    assert "nf4-dq" in caught.value.hint
