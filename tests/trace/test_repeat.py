"""Which layers of a model repeat: found in models made by hand, and in transformers' own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from vramcast.trace.repeat import Shallow, shorten
from vramcast.trace.unfold import KEPT_UNITS, Pattern


class Model(nn.Module):
    """Linear layers of these widths, a head, and perhaps a config that names each layer's kind."""

    def __init__(self, widths: list[int], kinds: list[str] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, width, device="meta") for width in widths)
        self.heads = nn.ModuleList(nn.Linear(8, 8, device="meta") for _ in range(3))
        self.config = SimpleNamespace(layer_types=kinds)


def shallow(first: int, length: int, extra: int) -> Shallow:
    """What is expected."""
    return Shallow(Pattern(first, length), extra)


@pytest.mark.parametrize(
    ("widths", "expected", "kept"),
    [
        ([8] * 7, shallow(0, 1, 1), 6),
        ([8] * 40, shallow(0, 1, 34), 6),
        ([4, 4, *[8] * 10], shallow(2, 1, 4), 8),
        ([8, 8, 9] * 8, shallow(0, 3, 2), 18),
        ([5, *[8, 9] * 8], shallow(1, 2, 2), 13),
        ([9, *[8, 9] * 8], shallow(1, 2, 2), 13),
    ],
)
def test_what_repeats_is_found(widths: list[int], expected: Shallow, kept: int) -> None:
    """Six units are kept, with the layers before them; the rest is left out."""
    model = Model(widths)
    assert shorten(model) == expected
    assert [layer.out_features for layer in model.layers] == widths[:kept]  # type: ignore[union-attr]
    assert len(model.heads) == 3


@pytest.mark.parametrize(
    "widths", [[8] * KEPT_UNITS, [8] * 3, [*[8] * 20, 9], list(range(8, 28)), [8, 9] * 6, [*range(1, 14)] * 8]
)
def test_too_few_equal_layers_are_left_alone(widths: list[int]) -> None:
    """Six units or less, a last layer of its own, layers of all sizes, or a pattern longer than twelve."""
    model = Model(widths)
    assert shorten(model) is None
    assert len(model.layers) == len(widths)


def test_a_model_without_layers_is_left_alone() -> None:
    """No module list at all."""
    assert shorten(nn.Linear(4, 4, device="meta")) is None


def test_kinds_of_layers_count() -> None:
    """Layers of one shape that the config calls by two names are two kinds; a list of another length says nothing."""
    assert shorten(Model([8] * 16, ["local", "global"] * 8)) == shallow(0, 2, 2)
    assert shorten(Model([8] * 16, ["local"] * 3)) is None


def frozen(layer: Any) -> None:
    """Not trained."""
    layer.weight.requires_grad_(requires_grad=False)


def half(layer: Any) -> None:
    """Another number format."""
    layer.weight.data = torch.empty_like(layer.weight, dtype=torch.float16)


def without_bias(layer: Any) -> None:
    """No bias."""
    layer.bias = None


def told(layer: Any) -> None:
    """An attribute of its own."""
    layer.window = 4096


@pytest.mark.parametrize("change", [frozen, half, without_bias, told])
def test_layers_that_differ_are_no_pattern(change: Any) -> None:
    """In what is trained, in a number format, in a bias, in a simple attribute: the last layer is then like no other."""
    model = Model([8] * 20)
    change(model.layers[-1])
    assert shorten(model) is None


def test_a_layers_own_number_does_not_count() -> None:
    """It differs in each of them."""
    model = Model([8] * 20)
    for number, layer in enumerate(model.layers):
        layer.layer_idx = number  # type: ignore[assignment]
    assert shorten(model) == shallow(0, 1, 14)


BASE = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 128, "num_attention_heads": 4}
FAMILIES: list[tuple[str, dict[str, Any], Shallow]] = [
    ("llama", {"num_hidden_layers": 32}, shallow(0, 1, 26)),
    ("gpt2", {"n_layer": 12, "n_embd": 64, "n_head": 4}, shallow(0, 1, 6)),
    ("gemma3_text", {"num_hidden_layers": 62}, shallow(2, 6, 4)),
    ("qwen3_moe", {"num_hidden_layers": 14, "num_experts": 4, "mlp_only_layers": [0, 1]}, shallow(2, 1, 6)),
    ("gpt_oss", {"num_hidden_layers": 36, "num_local_experts": 4}, shallow(0, 2, 12)),
    ("deepseek_v3", {"num_hidden_layers": 20, "n_routed_experts": 8}, shallow(3, 1, 11)),
]


@pytest.mark.parametrize(("kind", "own", "expected"), FAMILIES, ids=[kind for kind, _, _ in FAMILIES])
def test_transformers_own_models(kind: str, own: dict[str, Any], expected: Shallow) -> None:
    """Patterns of one, two and six layers, and dense layers before experts."""
    config = AutoConfig.for_model(kind, **BASE | own)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shorten(model) == expected
