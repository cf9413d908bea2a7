"""
How families' own code runs norms and rotation, and what it refers to: what decides which tensors their backward keeps.

Source: transformers 5.23, modeling_*.py of each model type; checked 2026-11-24.
"""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.family_code import CLAMPED_SWIGLU, NormCode, Referred, Routing, Scores
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.layer import Layer, LayerRun
from vramcast.domain.model import ModelSpec, as_one
from vramcast.domain.norm import Norm
from vramcast.sources.config import Config

FP32_NORMS = {
    "afmoe", "cohere", "cohere2", "flex_olmo", "gpt_oss", "helium", "nemotron_h", "olmo", "olmo2", "olmo3",
    "olmo_hybrid",
}  # fmt: skip
ONE_PLUS_NORMS = {
    "gemma", "gemma2", "gemma3", "gemma3_text", "minimax_m3_vl", "minimax_m3_vl_text", "nemotron", "qwen3_5",
    "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next", "recurrent_gemma", "step3p7", "vaultgemma",
}  # fmt: skip
POWER_NORMS = {"gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified_text"}
NORMS_AFTER = {"exaone4", "flex_olmo", "olmo2", "olmo3"}
PACKED_ROTARY = {
    "bailing_hybrid", "bamba", "codegen", "glm", "glm4", "glm4_moe", "glm4v_moe_text", "glm4v_text", "gpt_neox",
    "gpt_neox_japanese", "gptj", "laguna", "mimo_v2_flash", "minimax_m2", "minimax_m3_vl", "minimax_m3_vl_text",
    "nemotron", "persimmon", "phi", "phi3", "phi4_multimodal", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text",
    "qwen3_5_text", "qwen3_next", "recurrent_gemma", "stablelm", "step3p7", "zaya",
}  # fmt: skip

SCORES = {
    Scores.AS_RUN: {"biogpt", "falcon", "gpt-sw3", "gpt2", "gpt_neox_japanese", "openai-gpt"},
    Scores.FP32: {"codegen", "gpt_neo", "gptj"},
}

REFERRED = {
    Referred.OUTPUT: {"gpt2", "gpt_bigcode", "gpt_neo", "mpt"},
    Referred.INPUT: {"stablelm"},
}

ROUTINGS = {
    Routing.SOFTMAX_CAST: {
        "flex_olmo", "mellum", "olmoe", "qwen2_moe", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_moe", "qwen3_next",
        "qwen3_vl_moe_text",
    },
    Routing.SOFTMAX_FP32: {"deepseek_v2"},
    Routing.SIGMOID_FP32: {
        "axk1", "bailing_hybrid", "deepseek_v3", "deepseek_v32", "dots1", "dots3_note", "exaone_moe", "glm4_moe",
        "glm4_moe_lite", "glm4v_moe_text", "glm_moe_dsa", "hy_v4", "kimi_linear", "mimo_v2_flash", "nemotron_h",
        "solar_open",
    },
    Routing.CHOSEN: {"gpt_oss", "granitemoe", "granitemoeshared", "granitemoehybrid", "granitemoe_swa"},
}  # fmt: skip
UNDIVIDED = {"deepseek_v2", "dots1", "flex_olmo", "olmoe", "qwen2_moe", "qwen3_moe"}  # unless the config says otherwise
CLAMPED = {"gpt_oss"}


def as_coded(model: ModelSpec, config: Config) -> ModelSpec:
    """
    `model` with its norms, rotation and routers as the code of its family runs them.

    Four norms of a block stand before and after each part; two stand after in the families that say so.
    """
    code = _norm_code(model.model_type)
    divided = config.raw("norm_topk_prob")
    divided = divided if isinstance(divided, bool) else model.model_type not in UNDIVIDED
    runs = as_one(
        LayerRun(_routed(_layer(run.layer, code, model.model_type), model.model_type, divided=divided), run.count)
        for run in model.layers
    )
    final = _coded(model.final_norm, code) if model.final_norm else None
    return replace(model, layers=runs, final_norm=final)


def _norm_code(model_type: str) -> NormCode:
    for code, types in (
        (NormCode.FP32, FP32_NORMS),
        (NormCode.ONE_PLUS, ONE_PLUS_NORMS),
        (NormCode.POWER, POWER_NORMS),
    ):
        if model_type in types:
            return code
    return NormCode.PLAIN


def _layer(layer: Layer, code: NormCode, model_type: str) -> Layer:
    after = model_type in NORMS_AFTER
    norms = tuple(
        replace(_coded(norm, code), after=after or (len(layer.norms) == 4 and place % 2 == 1))
        for place, norm in enumerate(layer.norms)
    )
    mixer = layer.mixer
    if isinstance(mixer, Attention):
        mixer = replace(
            mixer,
            qk_norms=tuple(_coded(norm, code) for norm in mixer.qk_norms),
            packed_rotary=mixer.rotary and model_type in PACKED_ROTARY,
            scores=next((scores for scores, types in SCORES.items() if model_type in types), Scores.SOFTMAX_FP32),
        )
    referred = next((referred for referred, types in REFERRED.items() if model_type in types), Referred.NOTHING)
    return replace(layer, norms=norms, mixer=mixer, referred=referred)


def _routed(layer: Layer, model_type: str, *, divided: bool) -> Layer:
    if not isinstance(layer.ffn, MixtureOfExperts):
        return layer
    routing = next((routing for routing, types in ROUTINGS.items() if model_type in types), Routing.SOFTMAX)
    activation = CLAMPED_SWIGLU if model_type in CLAMPED else layer.ffn.activation
    divided = divided and routing not in (Routing.CHOSEN, Routing.SOFTMAX_FP32)
    ffn = replace(layer.ffn, routing=routing, weights_divided=divided, activation=activation)
    return replace(layer, ffn=ffn)


def _coded(norm: Norm, code: NormCode) -> Norm:
    return replace(norm, code=code) if code is not NormCode.PLAIN else norm
