"""Item sizes and switches of a run."""

from dataclasses import replace
from typing import Any

import pytest

from tests.models import LLAMA_8B, TINY, model
from tests.properties.grown_configs import grow
from vramcast.catalog.number_formats import find_format
from vramcast.domain.model import Dropout
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Kernels,
    Method,
    Precision,
    Quantization,
    Recompute,
    TrainRun,
)
from vramcast.rules.sizes import adapter_itemsize, sizes_of
from vramcast.sources.read import read_config

LLAMA = model(LLAMA_8B)
NF4 = Quantization(format=find_format("nf4"))
LORA = {"method": Method.LORA, "adapter": Adapter(rank=8)}
QLORA = {"method": Method.QLORA, "adapter": Adapter(rank=8), "quantization": NF4}
UPCAST = QLORA | {"quantization": replace(NF4, upcast=True)}
AUTOCAST = {"autocast": True}


ELEMENTS: dict[str, tuple[dict[str, Any], int, int, int, int]] = {
    "fp32": ({"precision": Precision.FP32}, 4, 4, 4, 4),
    "bf16": ({"precision": Precision.BF16}, 2, 2, 2, 2),
    "fp16": ({"precision": Precision.FP16}, 2, 2, 2, 2),
    "amp-bf16": ({"precision": Precision.AMP_BF16}, 4, 2, 2, 2),
    "amp-fp16": ({"precision": Precision.AMP_FP16}, 4, 2, 2, 2),
    "master": ({"precision": Precision.MASTER_BF16}, 2, 2, 2, 2),
    "lora": (LORA, 2, 2, 2, 2),
    "lora, autocast": (LORA | AUTOCAST, 2, 2, 2, 2),
    "qlora": (QLORA, 2, 2, 2, 2),
    "qlora, autocast": (QLORA | AUTOCAST, 2, 2, 2, 2),
    "upcast": (UPCAST, 4, 2, 4, 4),
    "upcast, autocast": (UPCAST | AUTOCAST, 4, 2, 4, 2),
}


@pytest.mark.parametrize(("options", "stream", "compute", "branch", "core"), ELEMENTS.values(), ids=ELEMENTS)
def test_bytes_of_an_element(options: dict[str, Any], stream: int, compute: int, branch: int, core: int) -> None:
    """FP32 weights, or a k-bit upcast, keep the stream in FP32; a 4-bit linear answers in its input's type."""
    sizes = sizes_of(LLAMA, TrainRun(**options))
    assert (sizes.stream, sizes.compute, sizes.branch, sizes.core) == (stream, compute, branch, core)


@pytest.mark.parametrize(
    ("options", "itemsize"),
    [
        ({}, 0),
        (LORA, 4),
        ({"adapter": Adapter(fp32=False)}, 2),
        ({"adapter": Adapter(fp32=False), "precision": Precision.FP32}, 4),
        ({"adapter": Adapter(fp32=False), "precision": Precision.AMP_BF16}, 4),
    ],
)
def test_bytes_of_an_adapter_element(options: dict[str, Any], itemsize: int) -> None:
    """FP32 where PEFT upcasts or the weights are FP32; nothing without adapters."""
    run = TrainRun(**options)
    assert adapter_itemsize(run) == itemsize == sizes_of(LLAMA, run).adapter


def test_switches_follow_the_run() -> None:
    """One option, one switch."""
    plain = sizes_of(LLAMA, TrainRun())
    assert (plain.trains_weights, plain.autocast, plain.quantized, plain.selective) == (True, False, False, False)
    assert (plain.fused_norms, plain.fused_mlp, plain.adapter_dropout, plain.rank) == (False, False, False, 0)
    assert sizes_of(LLAMA, TrainRun(precision=Precision.AMP_BF16)).autocast
    assert sizes_of(LLAMA, TrainRun(recompute=Recompute.SELECTIVE)).selective
    assert not sizes_of(LLAMA, TrainRun(recompute=Recompute.FULL)).selective
    norms, both = (sizes_of(LLAMA, TrainRun(kernels=kernels)) for kernels in (Kernels.FUSED_NORMS, Kernels.FUSED))
    assert (norms.fused_norms, norms.fused_mlp) == (True, False)
    assert (both.fused_norms, both.fused_mlp) == (True, True)
    lora = sizes_of(LLAMA, TrainRun(**(LORA | {"adapter": Adapter(rank=8, dropout=0.1)})), frozenset({"q_proj"}))
    assert (lora.trains_weights, lora.rank, lora.adapter_dropout) == (False, 8, True)
    assert lora.adapted == {"q_proj"}
    assert sizes_of(LLAMA, TrainRun(**QLORA)).quantized


def test_sizes_of_the_model() -> None:
    """Hidden size and dropout are the model's own."""
    sizes = sizes_of(replace(model(TINY), dropout=Dropout(attention=0.1)), TrainRun())
    assert (sizes.hidden, sizes.dropout.attention) == (256, 0.1)


@pytest.mark.parametrize(
    ("options", "copies"),
    [({}, True), ({"precision": Precision.FP32}, False), ({"kernels": Kernels.FUSED_NORMS}, False), (UPCAST, False)],
    ids=["bf16", "fp32", "fused", "upcast"],
)
def test_norms_copy_half_precision_streams(options: dict[str, Any], *, copies: bool) -> None:
    """An eager RMS norm of FP32 inputs needs no copy, a fused one neither."""
    assert sizes_of(LLAMA, TrainRun(**options)).norms_copy is copies


def test_the_kernel_is_what_the_family_allows() -> None:
    """Gemma 2 has no SDPA; a layer may resolve it further."""
    gemma = read_config(grow("gemma2").config, "grown")
    assert sizes_of(gemma, TrainRun()).attention is AttentionKernel.EAGER
    sizes = sizes_of(LLAMA, TrainRun())
    assert sizes.attention is AttentionKernel.SDPA
    assert sizes.with_attention(AttentionKernel.FLASH).attention is AttentionKernel.FLASH
    assert sizes.with_attention(AttentionKernel.SDPA) is sizes
