"""Models of two layers, one of each family, small enough to train on the CPU in a moment."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

_BASE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 160,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OWN: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "qwen3": {"tie_word_embeddings": True},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_neox": {},
    "phi3": {},
    "falcon": {
        "head_dim": None,
        "new_decoder_architecture": False,
        "multi_query": True,
        "bias": False,
        "parallel_attn": True,
    },
    "olmo2": {},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
}
FAMILIES = tuple(_OWN)


def tiny(
    family: str,
    dtype: torch.dtype = torch.bfloat16,
    *,
    checkpointing: str = "",
    lora: bool = False,
    attention: str = "sdpa",
) -> Callable[[], nn.Module]:
    """
    A function that builds the model on the current device.

    Args:
        family: one of FAMILIES.
        dtype: of the weights.
        checkpointing: `reentrant`, `hooks` (not reentrant), or nothing.
        lora: adapters on every linear layer, with dropout.
        attention: transformers' name of it.
    """

    def build() -> nn.Module:
        own = {key: value for key, value in (_BASE | _OWN[family]).items() if value is not None}
        config: Any = AutoConfig.for_model(family, **own)
        config.use_cache = False
        classes: Any = AutoModelForCausalLM
        model: Any = classes.from_config(config, dtype=dtype, attn_implementation=attention).train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # transformers renames checkpointing, PEFT does not know yet
            if lora:
                model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1))
            if checkpointing:
                options = {"use_reentrant": checkpointing == "reentrant", "preserve_rng_state": False}
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
                if lora:
                    model.enable_input_require_grads()
        assert isinstance(model, nn.Module)
        return model

    return build
