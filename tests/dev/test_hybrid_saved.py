"""What recurrent mixers keep for backward: the closed form against transformers' own code around stand-in kernels."""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.dev.stand_in_kernels import stand_in
from tests.hybrid_cases import BASE, CASES
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.weights import WeightKind
from vramcast.sources.read import read_config

BATCH = 2
CLASSES = {
    "mamba": "MambaMixer",
    "falcon_mamba": "FalconMambaMixer",
    "mamba2": "Mamba2Mixer",
    "jamba": "JambaMambaMixer",
    "zamba": "ZambaMambaMixer",
    "zamba2": "Zamba2MambaMixer",
    "bamba": "BambaMixer",
    "granitemoehybrid": "GraniteMoeHybridMambaLayer",
    "falcon_h1": "FalconH1Mixer",
    "nemotron_h": "NemotronHMamba2Mixer",
    "recurrent_gemma": "RecurrentGemmaRecurrentBlock",
    "rwkv": "RwkvSelfAttention",
    "lfm2": "Lfm2ShortConv",
    "lfm3": "Lfm3ShortConv",
    "qwen3_next": "Qwen3NextGatedDeltaNet",
    "qwen3_5_text": "Qwen3_5GatedDeltaNet",
    "olmo_hybrid": "OlmoHybridGatedDeltaNet",
    "minimax": "MiniMaxLightningAttention",
    "kimi_linear": "KimiLinearDeltaAttention",
    "bailing_hybrid": "BailingHybridDeltaAttention",
}
ARGUMENTS: dict[str, Callable[[torch.Tensor], tuple[Any, ...]]] = {
    "MiniMaxLightningAttention": lambda _: (None, None),
    "RecurrentGemmaRecurrentBlock": lambda hidden: (torch.arange(hidden.shape[1])[None], None, False),
}
IGNORED = {"olmo_hybrid": 4}  # beta before it is doubled: one element a head


@pytest.mark.parametrize("model_type", CLASSES)
def test_saved_elements_equal_the_graph(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more token keeps as many elements, in the run's format and in FP32, as the closed form says."""
    own, _ = CASES[model_type]
    config = BASE | {"model_type": model_type} | own
    mixer = next(
        mixer
        for layer in read_config(config, "tiny").iter_layers()
        for mixer in layer.mixers
        if isinstance(mixer, StateSpace | LinearAttention)
    )
    module = _module(config, CLASSES[model_type])
    stand_in(monkeypatch, inspect.getmodule(type(module)))
    short, long = _saved(module, 64), _saved(module, 128)
    short.subtract(long)
    per_token = {dtype: round(-elements / (64 * BATCH)) for dtype, elements in short.items()}
    output = [weight for weight in mixer.parts if weight.kind is WeightKind.LINEAR][-1]
    read = 0 if mixer.fused_output else output.shape[1]
    assert output.shape[0] == config["hidden_size"]
    assert per_token[torch.bfloat16] == mixer.saved_elements_per_token + read + IGNORED.get(model_type, 0)
    assert per_token.get(torch.float32, 0) + per_token.get(torch.bool, 0) // 4 == mixer.saved_fp32_per_token


def _module(config: dict[str, Any], name: str) -> nn.Module:
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        model = AutoModelForCausalLM.from_config(parsed, dtype=torch.bfloat16).train()
    return next(module for module in model.modules() if type(module).__name__ == name)


def _saved(module: nn.Module, tokens: int) -> Counter[torch.dtype]:
    """Elements by number format of every storage that backward keeps, but weights and what the first projection reads."""
    hidden = torch.randn(BATCH, tokens, BASE["hidden_size"], dtype=torch.bfloat16, requires_grad=True)
    left_out = {_place(tensor) for tensor in (hidden, *module.parameters(), *module.buffers())}
    first = getattr(module, "in_proj", module)
    hook = first.register_forward_pre_hook(lambda _, read: left_out.add(_place(read[0])))
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[_place(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(hidden, *ARGUMENTS.get(type(module).__name__, lambda _: ())(hidden))
    hook.remove()
    counts: Counter[torch.dtype] = Counter()
    for place, tensor in kept.items():
        if place not in left_out:
            counts[tensor.dtype] += tensor.untyped_storage().nbytes() // tensor.element_size()
    return counts


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
