"""What transformers' own caches hold after a prompt: tokens, recurrent states and convolution tails, layer by layer."""

import warnings
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import DynamicCache, DynamicLayer, LinearAttentionLayer

Sizes = list[tuple[int, torch.dtype]]


class Kept(NamedTuple):
    """Elements and number format of each tensor, or pair of tensors, for one sequence; layers in order."""

    tokens: Sizes
    states: Sizes
    tails: Sizes


def kept_by_transformers(config: dict[str, Any], tokens: int) -> Kept:
    """What a BF16 model built from `config` keeps of one prompt of `tokens` tokens."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        model = AutoModelForCausalLM.from_config(parsed, dtype=torch.bfloat16).eval()
        prompt = {"input_ids": torch.randint(3, config["vocab_size"], (1, tokens)), "use_cache": True}
        if config["model_type"] == "recurrent_gemma":
            prompt["past_key_values"] = DynamicCache(config=parsed)
        with torch.no_grad():
            out = model(**prompt)
    match config["model_type"]:
        case "rwkv":
            return _rwkv(out.state)
        case "xlstm":
            return Kept([], [_sum(state) for state in out.cache_params.rnn_state.values()], [])
        case "minimax":
            return _minimax(out.past_key_values)
        case "recurrent_gemma":
            return _recurrent_gemma(model, prompt["past_key_values"])
    cache = out.past_key_values if "past_key_values" in out else out.cache_params
    return _layers(cache.layers)


def _layers(layers: list[Any]) -> Kept:
    kept = Kept([], [], [])
    for layer in layers:
        if isinstance(layer, DynamicLayer) and layer.is_initialized:
            kept.tokens.append(_sum((layer.keys, layer.values)))
        if isinstance(layer, LinearAttentionLayer):
            kept.states.extend(_sum((state,)) for state in layer.recurrent_states.values() if state is not None)
            kept.tails.extend(_sum((tail,)) for tail in layer.conv_states.values() if tail is not None)
    return kept


def _rwkv(state: list[torch.Tensor]) -> Kept:
    depth = range(state[0].shape[-1])
    shifts, memories = state[:2], state[2:]
    return Kept(
        [],
        [_sum([memory[..., layer] for memory in memories]) for layer in depth],
        [_sum([shift[..., layer] for shift in shifts]) for layer in depth],
    )


def _minimax(cache: Any) -> Kept:
    kept = _layers([layer for layer in cache.layers if layer.is_initialized])
    states = [_sum((state,)) for state in cache.linear_cache if isinstance(state, torch.Tensor)]
    return Kept(kept.tokens, states, [])


def _recurrent_gemma(model: Any, cache: Any) -> Kept:
    blocks = [layer.temporal_block for layer in model.model.layers]
    blocks = [block for block in blocks if hasattr(block, "rg_lru")]
    return Kept(
        _layers(cache.layers).tokens,
        [_sum((block.rg_lru.recurrent_states,)) for block in blocks],
        [_sum((block.conv1d_state,)) for block in blocks],
    )


def _sum(tensors: Any) -> tuple[int, torch.dtype]:
    (dtype,) = {tensor.dtype for tensor in tensors}
    return sum(tensor.numel() for tensor in tensors), dtype
