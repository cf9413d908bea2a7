"""
Families in which PEFT finds more, or less, than linear layers to adapt.

transformers 5 holds a mixture's experts as 3-D tensors, which are no linear layers. For some families PEFT turns the names
that experts and router had as linears into the tensors that took their place; a linear of the same name, in a dense layer or
a shared expert, then gets no adapter.

Source: PEFT 0.21.2 utils/transformers_weight_conversion.py (_MOE_TARGET_MODULE_MAPPING), tuners/tuners_utils.py
(_check_lora_target_modules_mamba, _maybe_include_all_linear_layers); transformers 5.23 conversion_mapping.py and the
families' modelling code. Checked: 2026-11-24.
"""

from vramcast.domain.errors import InputError

ROUTER, GATE_UP, DOWN = "router", "gate_up_proj", "down_proj"
_MIXTRAL = {"gate": ROUTER, "w1": GATE_UP, "w3": GATE_UP, "w2": DOWN}
_QWEN = {"gate": ROUTER, "gate_proj": GATE_UP, "up_proj": GATE_UP, "down_proj": DOWN}
_QWEN_TYPES = (
    "afmoe",
    "beam",
    "cohere2_moe",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "dots1",
    "ernie4_5_moe",
    "exaone_moe",
    "flex_olmo",
    "glm4_moe",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "hunyuan_v1_moe",
    "longcat_flash",
    "mellum",
    "olmoe",
    "qwen3_moe",
    "qwen3_next",
    "solar_open",
)
_FORMER_NAMES: dict[str, dict[str, str]] = {
    **dict.fromkeys(("mixtral", "minimax", "minimax_m2"), _MIXTRAL),
    **dict.fromkeys(_QWEN_TYPES, _QWEN),
}

# Subclasses of a linear layer, and linears that transformers keeps in FP32: no quantiser converts them, PEFT adapts them.
_UNQUANTIZED = {"phimoe": ROUTER, "llama4_text": ROUTER}
INDEXER = "indexer.weights_proj"

# PEFT adapts no layer of this name where Mamba's fused kernel reads its weight past the layer.
_MAMBA = frozenset({"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"})
OUT = "out_proj"


def former_names(model_type: str) -> dict[str, str]:
    """What router and experts were called as linear layers, each with the tensor that took its place; or nothing."""
    return _FORMER_NAMES.get(model_type, {})


def unquantized_linears(model_type: str) -> tuple[str, ...]:
    """Weights that PEFT takes for linear layers, though no quantiser does."""
    return (_UNQUANTIZED.get(model_type, INDEXER), INDEXER)


def refused(model_type: str) -> frozenset[str]:
    """Linear layers that PEFT refuses to adapt."""
    return frozenset({OUT}) if model_type in _MAMBA else frozenset()


def expert_ranks(model_type: str, named: set[str]) -> dict[str, int]:
    """
    The tensors that the former names `named` lead to, each with the factor on its rank.

    Gate and up are one tensor, which gets the ranks of both: 2·r.

    Raises:
        InputError: one of gate and up is named without the other.
    """
    tensors = former_names(model_type)
    pair = [old for old, tensor in tensors.items() if tensor == GATE_UP]
    if len(named.intersection(pair)) == 1:
        raise InputError(f"{pair[0]} and {pair[1]} are one tensor in this model", f"name both: {','.join(pair)}")
    return {tensor: 2 if tensor == GATE_UP else 1 for old, tensor in tensors.items() if old in named}
