"""The widest moment of prefill and decode against what real passes of small models hold."""

import warnings
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.dev.live import LiveStorages
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Instant
from vramcast.domain.run import AttentionKernel, ServeRun
from vramcast.rules.serving import serving
from vramcast.sources.read import read_config

B, T = 2, 128
BASE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 50,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
WIDE = {"intermediate_size": 512}
CASES: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "rotary-grouped": ({"model_type": "llama"}, "sdpa", "bf16", 3 * 64 * 2 + 2 * 4 * 128),
    "rotary-all-heads": ({"model_type": "llama", "num_key_value_heads": 8}, "sdpa", "bf16", 3 * 64 * 2 + 2 * 5 * 128),
    "rotary-fp32": ({"model_type": "llama", "num_key_value_heads": 8}, "sdpa", "fp32", 3 * 64 * 4 + 4 * 5 * 128),
    "mlp": ({"model_type": "llama"} | WIDE, "sdpa", "bf16", 4 * 64 * 2 + 3 * 512 * 2),
    "query-norm": ({"model_type": "qwen3"}, "sdpa", "bf16", 3 * 64 * 2 + (2 + 8) * 128 - 2 * 2 * 32),
    "experts": (
        {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2} | WIDE,
        "sdpa",
        "bf16",
        4 * 64 * 2 + 2 * 2 * (64 + 4 * 512),
    ),
    "eager-grouped": (
        {"model_type": "llama"},
        "eager",
        "bf16",
        3 * 64 * 2 + 128 * 2 + 2 * 2 * 128 + 128 * ((2 + 8) * 8 + 2),
    ),
    "masked-window": (
        {"model_type": "mistral", "sliding_window": 16},
        "sdpa",
        "bf16",
        3 * 64 * 2 + 2 * 128 * 2 + 2 * 2 * 128 + 128 * (1 + 2),
    ),
}


def passes(config: dict[str, Any], attention: str, dtype: torch.dtype) -> tuple[float, int]:
    """Bytes a token that prefill holds beyond weights and cache, and bytes of the cache behind it."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        model = AutoModelForCausalLM.from_config(parsed, dtype=dtype, attn_implementation=attention).eval()
        prompt = torch.randint(3, 50, (B, T))
        live = LiveStorages([*model.parameters(), *model.buffers(), prompt])
        with torch.no_grad(), live:
            out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
    layers = out.past_key_values.layers
    cache = sum(t.untyped_storage().nbytes() for layer in layers for t in (layer.keys, layer.values))
    return (live.beyond_resident - cache) / (B * T), cache


def prefill(config: dict[str, Any], attention: str, dtype: str) -> Instant:
    """The rule's instant of prefill, on a device whose SDPA is efficient attention where a mask is passed."""
    run = ServeRun(
        weight_format=find_format(dtype),
        kv_format=find_format(dtype),
        max_model_len=T,
        max_num_seqs=B,
        attention=AttentionKernel(attention),
    )
    return serving(read_config(config, "tiny"), run, find_stack("transformers"), None).instants[0]


@pytest.mark.parametrize("case", CASES)
def test_prefill_holds_what_the_rule_says(case: str) -> None:
    """
    Activations of the widest moment, within 5 % of a real pass, and the cache to the byte.

    The real pass also holds token ids, positions and rotary tables (36 to 68 bytes a token here), which the rule leaves out.
    """
    change, attention, dtype, each = CASES[case]
    config = BASE | change
    torch_dtype = torch.float32 if dtype == "fp32" else torch.bfloat16
    real, cache = passes(config, attention, torch_dtype)
    instant = prefill(config, attention, dtype)
    activations = sum(term.bytes for term in instant.terms if term.category is Category.ACTIVATIONS)
    assert activations == B * T * each
    assert each <= real <= 1.05 * each + 68
    assert cache == sum(term.bytes for term in instant.terms if term.category is Category.KV_CACHE)
