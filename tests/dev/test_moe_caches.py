"""Windows, latents, indexers' keys and pooled entries against what transformers' caches hold on small real models."""

import warnings
from dataclasses import fields
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from tests.dev.moe_configs import BASE, CASES
from tests.dev.test_meta_parity_moe import BODIES
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.layer import Mixer
from vramcast.sources.read import read_config

TOKENS, WINDOW = 20, 8
ONE_GROUP = {"n_group": 1, "topk_group": 1}
RUNNABLE: dict[str, dict[str, Any]] = {
    "axk1": ONE_GROUP,
    "beam": ONE_GROUP,
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v32": ONE_GROUP,
    "glm4v_moe_text": {
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [1, 1, 2],
        }
    },
    "longcat_flash": {"head_dim": 8},
    "llama4_text": {"attention_chunk_size": WINDOW},
    "qwen2_moe": {"use_sliding_window": True},
    "deepseek_v4": {"compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 4}},
}


@pytest.mark.parametrize("model_type", CASES)
def test_caches_hold_what_layers_say(model_type: str) -> None:
    """
    Every layer's cache holds as many elements as its mixer says.

    Between two steps a sliding layer's cache holds one token less than its window: the next one completes it.
    """
    own, _ = CASES[model_type]
    config = BASE | _narrow(model_type) | own | {"model_type": model_type} | RUNNABLE.get(model_type, {})
    model = read_config(config, "tiny")
    said = [sum(_elements(mixer) for mixer in layer.mixers) for layer in model.iter_layers()]
    assert said == _held(config)


def _narrow(model_type: str) -> dict[str, int]:
    """A window shorter than the prompt, for families that know windows."""
    known = {field.name for field in fields(CONFIG_MAPPING[model_type])}
    return {"sliding_window": WINDOW} if "sliding_window" in known else {}


def _elements(mixer: Mixer) -> int:
    match mixer:
        case Attention():
            kept = TOKENS if mixer.window is None else min(TOKENS, mixer.window - 1)
            return kept * (mixer.key_width + mixer.value_width) + TOKENS * mixer.index_dim
        case LatentAttention():
            kept = TOKENS if mixer.window is None else min(TOKENS, mixer.window - 1)
            own = 0 if mixer.shares_kv else mixer.kv_rank + mixer.rope_dim
            return kept * own + TOKENS * mixer.index_dim
        case CompressedAttention():
            return mixer.cache_elements(TOKENS) - mixer.head_dim
        case _:
            pytest.fail(f"no mixture has {mixer}")


def _held(config: dict[str, Any]) -> list[int]:
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        model = BODIES.get(config["model_type"], AutoModelForCausalLM.from_config)(parsed).eval()
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
        prompt = torch.randint(3, config["vocab_size"], (1, TOKENS))
        cache = model(input_ids=prompt, use_cache=True).past_key_values
    return [_held_by(layer) for layer in cache.layers]


def _held_by(layer: Any) -> int:
    """Elements of one cache layer: keys and values unless they are one tensor, an indexer's keys, pooled entries."""
    parts = [layer.keys] if layer.keys is layer.values else [layer.keys, layer.values]
    parts += [getattr(layer, name, None) for name in ("indexer_keys", "idx_keys")]
    parts += getattr(layer, "compressed_kv", {}).values()
    return sum(part.numel() for part in parts if part is not None)
