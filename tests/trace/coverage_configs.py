"""A small configuration for every type of causal language model in transformers."""

from typing import Any

from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.dev import test_hybrid_caches, test_moe_caches
from tests.dev.tiny_configs import TINY
from vramcast.domain.run import Precision

TYPES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
LAYERS = {"num_hidden_layers": 2}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_ALL_SHARED = {"num_kv_shared_layers": 2, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
# Values without which a model of the type cannot run at all, or not on 16 tokens.
MENDED: dict[str, dict[str, Any]] = {
    **test_hybrid_caches.RUNNABLE,
    **test_moe_caches.RUNNABLE,
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "marian": LAYERS | {"vocab_size": 500, "decoder_vocab_size": 500, "pad_token_id": 0},
    "xmod": LAYERS | {"default_language": "en_XX"},
    "reformer": {"is_decoder": True, "axial_pos_shape": [4, 4]},
    "blt": {"patch_in_forward": False},
    "cohere_compass_text": LAYERS | {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "qwen4_exp": {"text_config": LAYERS},
    "dots3_note": {"text_config": LAYERS},
    "phi4_multimodal": LAYERS,
    "git": LAYERS | {"vision_config": {"image_size": 32, "patch_size": 16}},
    "prophetnet": {"num_encoder_layers": 2, "num_decoder_layers": 2},
    "gemma4_assistant": {"text_config": LAYERS | _ALL_SHARED},
    "gemma4_unified_assistant": {"text_config": LAYERS | {"num_kv_shared_layers": 2}},
}
# Multimodal types: the language part is the tiny one of its own type.
AROUND = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "llama4": "llama4_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
FORMATS = {"xlnet": Precision.FP32}  # its class makes FP32 weights in a model of any format
_DRAFTER = "a drafter that borrows its whole cache; transformers' own check of shared layers refuses to build it"
CAUSES = {
    "gemma4_assistant": _DRAFTER,
    "gemma4_unified_assistant": _DRAFTER,
    "git": "its loss leaves out the tokens of an image, and a step of tokens alone has none",
    "musicgen": "transformers' AutoModelForCausalLM does not build a model from this configuration",
    "musicgen_melody": "transformers' AutoModelForCausalLM does not build a model from this configuration",
}


def config_of(kind: str) -> tuple[dict[str, Any], str]:
    """A configuration of this type, and how it came about."""
    mended = MENDED.get(kind, {})
    if kind in AROUND:
        return {"model_type": kind, "text_config": TINY[AROUND[kind]]}, f"tiny {AROUND[kind]}"
    if kind in TINY:
        return TINY[kind] | mended, "tiny"
    changed = mended or _shorter(kind)
    how = ", ".join(name if isinstance(value, dict) else f"{name} {value}" for name, value in changed.items())
    return {"model_type": kind} | changed, f"default, {how}" if how else "default"


def _shorter(kind: str) -> dict[str, Any]:
    settings = CONFIG_MAPPING[kind]()
    deep = not settings.sub_configs and isinstance(getattr(settings, "num_hidden_layers", None), int)
    return LAYERS if deep else {}
