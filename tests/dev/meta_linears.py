"""What transformers builds, told apart by whether a quantiser or an adapter would find it."""

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import WeightKind

Split = tuple[Counter[tuple[int, ...]], int]


def built(config: dict[str, Any], body: Callable[[Any], PreTrainedModel] | None = None) -> Split:
    """
    Shapes of the linear matrices that bitsandbytes would replace, and the number of all other parameters.

    `body` builds a type that is a language model only inside a multimodal one; an untied head is added to it.
    """
    options = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        model = (body or AutoModelForCausalLM.from_config)(parsed)
    found = Counter(tuple(module.weight.shape) for module in _replaced(model))
    rest = sum(parameter.numel() for parameter in model.parameters()) - _elements(found)
    if body and not config.get("tie_word_embeddings", False):
        rest += parsed.vocab_size * parsed.hidden_size
    return found, rest


def counted(model: ModelSpec) -> Split:
    """The same of a closed form; empty matrices are left out, as transformers may build them."""
    found: Counter[tuple[int, ...]] = Counter()
    for weight in model.weights:
        if weight.kind is WeightKind.LINEAR:
            found[weight.shape] += weight.count
    return found, model.parameters - _elements(found)


def _replaced(model: PreTrainedModel) -> list[nn.Linear]:
    kept = HfQuantizer.get_modules_to_not_convert(model, None, list(model._keep_in_fp32_modules or ()))
    found = [
        module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module.weight.numel() and should_convert_module(name, kept)
    ]
    return list({id(module.weight): module for module in found}.values())


def _elements(shapes: Counter[tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() * count for shape, count in shapes.items())
