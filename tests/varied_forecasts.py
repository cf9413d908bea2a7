"""Forecasts of many kinds of models and runs, for tests that must hold for all of them."""

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

from vramcast.app.predict import predict
from vramcast.catalog.models import all_rows
from vramcast.domain.errors import VramcastError
from vramcast.domain.forecast import Forecast

TRAINED: tuple[dict[str, Any], ...] = (
    {"method": "full", "precision": "master-bf16", "optimizer": "adamw-foreach", "loss": "stock", "stack": "torch"},
    {"method": "full", "precision": "amp-bf16", "optimizer": "adafactor", "recompute": "none", "attention": "eager"},
    {"method": "full", "precision": "amp-fp16", "optimizer": "adamw-8bit", "recompute": "selective", "seq_len": 8192},
    {"method": "full", "precision": "bf16", "optimizer": "muon", "loss": "fused-linear", "accum_steps": 4},
    {"method": "full", "precision": "fp32", "optimizer": "sgd-momentum", "attention": "math", "kernels": "fused"},
    {
        "method": "full",
        "precision": "bf16",
        "optimizer": "adamw-loop",
        "offload": "optimizer",
        "kernels": "fused-norms",
    },
    {"method": "lora", "dora": True, "lora_dropout": 0.1, "recompute": "none", "attention": "efficient"},
    {"method": "lora", "stack": "hf-trainer", "loss": "stock", "optimizer": "paged-adamw", "device": "v100-16gb-pcie"},
    {"method": "qlora", "stack": "hf-trainer", "loss": "fused-linear", "optimizer": "paged-adamw-8bit"},
    {"method": "qlora", "stack": "torch@2.15", "base_format": "fp4", "optimizer": "lion-8bit", "device": "mi300x"},
    {"method": "qlora", "base_format": "int8", "loss": "stock"},
    {"method": "qlora", "recompute": "none", "optimizer": "lion", "attention": "cudnn", "device": "h100"},
    {"method": "qlora", "kernels": "fused", "optimizer": "sgd", "memory": 24 * 2**30, "lora_targets": "attention"},
)
SERVED: tuple[dict[str, Any], ...] = (
    {"method": "serve", "max_num_seqs": 8, "device": "h100"},
    {"method": "serve", "weight_format": "nf4", "kv_format": "fp8-e4m3", "attention": "eager", "prefill_tokens": 512},
    {"method": "serve", "weight_format": "fp32", "memory": 24 * 2**30, "max_model_len": 65536},
)


@cache
def one_model_a_type() -> tuple[str, ...]:
    """The smallest name of each architecture in the catalog, and a bare size."""
    names: dict[str, str] = {}
    for row in all_rows():
        names.setdefault(row.model_type, row.name)
    return (*names.values(), "8B")


@cache
def varied_forecasts() -> tuple[Forecast, ...]:
    """Every architecture with every run that it supports, made once a session."""
    return tuple(_forecasts())


def _forecasts() -> Iterator[Forecast]:
    for model, options in product(one_model_a_type(), (*TRAINED, *SERVED)):
        device, stack = options.get("device"), options.get("stack")
        rest = {name: value for name, value in options.items() if name not in ("device", "stack")}
        try:
            yield predict(model, None, device, stack=stack, **rest)
        except VramcastError:
            continue
