"""Closed forms against transformers: dense attention decoders."""

import json
import warnings
from collections import Counter
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    MllamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DummyLayer
from transformers.pytorch_utils import Conv1D

from tests.dev.dense_configs import CASES, DEPTHS, TINY
from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense
from vramcast.domain.model import ModelSpec
from vramcast.domain.module_names import canonical_names
from vramcast.domain.weights import WeightKind
from vramcast.sources.read import read_config

ESSENTIAL = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")


def built(model_type: str, options: dict[str, Any]) -> PreTrainedModel:
    """The model on the meta device, with the defaults of its class where `options` is silent."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = AutoConfig.for_model(model_type, **options)
        return (
            MllamaForCausalLM(config) if model_type == "mllama_text_model" else AutoModelForCausalLM.from_config(config)
        )


def parameters(model: PreTrainedModel) -> int:
    """Parameters of a model, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def own_name(config_class: type[PreTrainedConfig], key: str) -> str:
    """The name that a family's config has for a usual key."""
    return config_class.attribute_map.get(key, key)


def first(config: PreTrainedConfig, *keys: str) -> Any:
    """The first of these attributes that a config has; None if it has none."""
    return next((getattr(config, key) for key in keys if hasattr(config, key)), None)


def linears(model: PreTrainedModel) -> Counter[tuple[int, ...]]:
    """Shapes of the matrices that a quantiser or an adapter finds: every linear layer but the output head."""
    found = (module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D))
    head = model.get_output_embeddings()
    return Counter(tuple(sorted(module.weight.shape)) for module in found if module is not head)


def counted_linears(model: ModelSpec) -> Counter[tuple[int, ...]]:
    """The same of a closed form."""
    return matching(model, {weight.name for weight in model.weights})


def matching(model: ModelSpec, names: set[str]) -> Counter[tuple[int, ...]]:
    """Shapes of a closed form's linear layers that go by one of these names."""
    counts: Counter[tuple[int, ...]] = Counter()
    for weight in model.weights:
        if weight.kind is WeightKind.LINEAR and weight.name in names:
            counts[tuple(sorted(weight.shape))] += weight.count
    return counts


def windows(model: ModelSpec) -> list[int | None]:
    """The window of every layer that keeps keys and values."""
    mixers = (layer.mixer for layer in model.iter_layers())
    return [mixer.window for mixer in mixers if isinstance(mixer, Attention) and not mixer.shares_kv]


@pytest.mark.parametrize(("model_type", "options"), TINY, ids=str)
def test_dense_counts_equal_transformers(model_type: str, options: dict[str, Any]) -> None:
    """Every option that adds parameters is counted as transformers builds it, linear by linear and in total."""
    spec, model = read_config({"model_type": model_type, **options}, "tiny"), built(model_type, options)
    assert counted_linears(spec) == linears(model)
    assert spec.parameters == parameters(model)


@pytest.mark.parametrize(("model_type", "options"), [case for case in TINY if case[0] != "mllama_text_model"], ids=str)
def test_dense_windows_equal_the_cache(model_type: str, options: dict[str, Any]) -> None:
    """A layer's window is what transformers' own cache keeps of it."""
    config = AutoConfig.for_model(model_type, **options)
    cache = DynamicCache(config=config)
    layers = (layer for layer in cache.layers if not isinstance(layer, DummyLayer))
    kept: list[int | None] = [layer.sliding_window if layer.is_sliding else None for layer in layers]
    spec = read_config({"model_type": model_type, **options}, "tiny")
    assert windows(spec) == kept


@pytest.mark.parametrize("model_type", CASES)
def test_dense_defaults_are_those_of_transformers(model_type: str) -> None:
    """A config with nothing but sizes means what it means to transformers: every other default is the same."""
    config_class = type(AutoConfig.for_model(model_type))
    options = DEPTHS.get(model_type) or {own_name(config_class, "num_hidden_layers"): 2}
    config = config_class(**options)
    sizes = {own_name(config_class, key): getattr(config, key, None) for key in ESSENTIAL}
    spec = read_config({"model_type": model_type, **sizes, **options}, "default")
    assert spec.parameters == parameters(built(model_type, options))
    dense = {layer.ffn.activation for layer in spec.iter_layers() if isinstance(layer.ffn, Dense)}
    word = first(config, "hidden_activation", "hidden_act", "activation_function", "activation") or "gelu"
    assert dense == {"gelu_new" if model_type == "openai-gpt" else word}  # GPT-1 calls that form plain gelu
    dropout = first(config, "attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")
    assert spec.dropout.attention == (dropout or 0.0)


@pytest.mark.parametrize("model_type", CASES)
def test_dense_saved_configs_are_read(model_type: str) -> None:
    """What transformers itself writes into `config.json`, every key of it, is read to the same count."""
    config_class = type(AutoConfig.for_model(model_type))
    options = DEPTHS.get(model_type) or {own_name(config_class, "num_hidden_layers"): 2}
    saved = json.loads(config_class(**options).to_json_string(use_diff=False))
    assert read_config(saved, "saved").parameters == parameters(built(model_type, options))


@pytest.mark.parametrize("model_type", CASES)
def test_adapters_by_module_name_find_what_peft_would(model_type: str) -> None:
    """Naming a module as transformers does leads to the very matrices that end in that name."""
    base, changes = CASES[model_type]
    options = base | changes[0]
    found: dict[str, Counter[tuple[int, ...]]] = {}
    model = built(model_type, options)
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not model.get_output_embeddings():
            found.setdefault(name, Counter())[tuple(sorted(module.weight.shape))] += 1
    spec = read_config({"model_type": model_type, **options}, "tiny")
    named = {name: matching(spec, {name, *canonical_names(name, model_type)}) for name in found if not name.isdigit()}
    assert named == {name: shapes for name, shapes in found.items() if not name.isdigit()}
