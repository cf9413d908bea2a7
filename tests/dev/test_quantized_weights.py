"""Quantised weights against bitsandbytes' own tensors, and what is quantised against transformers' own replacement."""

import warnings
from collections import Counter
from math import ceil
from typing import Any

import pytest
import torch
from bitsandbytes.functional import quantize_4bit
from bitsandbytes.nn import Linear4bit
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

from tests.dev.tiny_configs import TINY
from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import Adapter, Method, Quantization, TrainRun
from vramcast.rules.parameters import parameters, quantizable
from vramcast.sources.read import read_config

SHAPES = [(64, 64), (704, 256), (256, 704), (100, 48), (7, 9), (1, 1), (4096, 1024)]


def packed(n: int) -> int:
    """Two values a byte."""
    return ceil(n / 2)


def plain(n: int) -> int:
    """Packed values and an FP32 scale for 64."""
    return packed(n) + ceil(n / 64) * 4


def nested(n: int) -> int:
    """Packed values, a byte for 64, an FP32 for 256 of those, an FP32 offset."""
    return packed(n) + ceil(n / 64) + ceil(ceil(n / 64) / 256) * 4 + 4


FORMATS = {"nf4": ("nf4", False, plain), "nf4-dq": ("nf4", True, nested)}
FORMATS |= {"fp4": ("fp4", False, plain), "fp4-dq": ("fp4", True, nested)}
CASES = [
    pytest.param(
        name, shape, by_hand(shape[0] * shape[1]), id=f"{name}-{shape[0]}x{shape[1]}-{by_hand(shape[0] * shape[1])}B"
    )
    for name, (_, _, by_hand) in FORMATS.items()
    for shape in SHAPES
]


@pytest.mark.parametrize(("name", "shape", "size"), CASES)
def test_bytes_of_a_quantised_matrix(name: str, shape: tuple[int, int], size: int) -> None:
    """Every tensor that bitsandbytes makes, but for its code tables of 16 and 256 levels."""
    kind, double, _ = FORMATS[name]
    values, state = quantize_4bit(
        torch.randn(shape, dtype=torch.bfloat16), blocksize=64, compress_statistics=double, quant_type=kind
    )
    tensors = [values, state.absmax]
    tables = [state.code]
    if double:
        tensors += [state.state2.absmax, state.offset]
        tables.append(state.state2.code)
    assert sum(tensor.nbytes for tensor in tensors) == find_format(name).bytes_for(shape[0] * shape[1]) == size
    assert [table.numel() for table in tables] == [16, 256][: len(tables)]


FAMILIES = (
    "llama",
    "gpt2",
    "phi3",
    "falcon",
    "opt",
    "gemma2",
    "gemma3n_text",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "deepseek_v3",
    "gpt_oss",
    "llama4_text",
    "phimoe",
    "dbrx",
    "mamba2",
    "jamba",
    "zamba2",
    "qwen3_next",
    "deepseek_v32",
)


def replaced(config: dict[str, Any]) -> tuple[Counter[tuple[int, int]], int]:
    """Shapes of the layers that transformers turns into 4-bit ones, and all other parameters, tied ones once."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **options))
        quantizer = Bnb4BitHfQuantizer(BitsAndBytesConfig(load_in_4bit=True), pre_quantized=False)
        quantizer._process_model_before_weight_loading(model, None)
    found = Counter((m.out_features, m.in_features) for m in model.modules() if isinstance(m, Linear4bit))
    kept = {
        id(p): p for m in model.modules() for name, p in _own(m) if not (isinstance(m, Linear4bit) and name == "weight")
    }
    return found, sum(parameter.numel() for parameter in kept.values())


def _own(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_what_transformers_quantises(model_type: str) -> None:
    """The layers that become 4-bit ones are the rule's linears, shape by shape, and all else stays."""
    config = TINY[model_type]
    model = read_config(config, "tiny")
    ours: Counter[tuple[int, int]] = Counter()
    for weight in quantizable(model):
        ours[(weight.shape[0], weight.shape[1])] += weight.count
    found, rest = replaced(config)
    assert ours == found
    assert rest == model.parameters - sum(w.parameters for w in quantizable(model))


def test_falcon_is_not_quantised_at_all() -> None:
    """Its linears are a class of their own, which transformers passes over."""
    assert replaced(TINY["falcon"])[0] == Counter()


@pytest.mark.parametrize("name", ["nf4", "nf4-dq"])
def test_bytes_of_a_quantised_model(name: str) -> None:
    """The whole of a small real Llama: every replaced layer quantised, the rest in BF16."""
    kind, double, _ = FORMATS[name]
    config = TINY["llama"]
    found, rest = replaced(config)
    quantised = 0
    for shape, count in found.items():
        values, state = quantize_4bit(torch.randn(shape), compress_statistics=double, quant_type=kind)
        scales = [state.absmax, *([state.state2.absmax, state.offset] if double else [])]
        quantised += count * (values.nbytes + sum(scale.nbytes for scale in scales))
    quantization = Quantization(format=find_format(name))
    run = TrainRun(method=Method.QLORA, adapter=Adapter(), quantization=quantization)
    (term,) = parameters(read_config(config, "tiny"), run)
    assert term.bytes == quantised + 2 * rest
