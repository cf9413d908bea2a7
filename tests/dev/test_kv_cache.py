"""Key and value caches against what transformers' own caches hold, storage by storage, after real passes."""

import warnings
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, PreTrainedModel

from tests.dev.moe_configs import BASE as MOE
from tests.dev.moe_configs import DEEPSEEK, LATENT, SPARSE_LATENT
from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import ServeRun
from vramcast.rules.kv_cache import kv_cache
from vramcast.sources.read import read_config

B, T, MORE = 2, 40, 3  # sequences, tokens of the prompt, tokens that are generated
ITEM = 2  # BF16
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 50,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
LOCAL = {"layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]}
LATENT_MOE = MOE | LATENT | DEEPSEEK | {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "vocab_size": 50}
TOKEN = 2 * 16 * ITEM  # bytes of one head's key and value
# config, bytes of one token of one sequence in all layers that keep the whole past, layers with a window of 16
CASES: dict[str, tuple[dict[str, Any], int, int]] = {
    "mha": (LLAMA | {"num_key_value_heads": 8}, 4 * 8 * TOKEN, 0),
    "gqa": (LLAMA, 4 * 2 * TOKEN, 0),
    "mqa": (LLAMA | {"num_key_value_heads": 1}, 4 * 1 * TOKEN, 0),
    "mla": (LATENT_MOE | {"model_type": "deepseek_v3"}, 4 * (32 + 8) * ITEM, 0),
    "mla-indexer": (
        LATENT_MOE | SPARSE_LATENT | {"model_type": "deepseek_v32"},
        4 * (32 + 8 + 16) * ITEM,
        0,
    ),
    "window": (LLAMA | {"model_type": "mistral", "sliding_window": 16}, 0, 4),
    "window-and-global": (
        LLAMA | LOCAL | {"model_type": "gemma3_text", "sliding_window": 16},
        1 * 2 * TOKEN,
        3,
    ),
    "shared-by-later-layers": (
        LLAMA
        | {
            "model_type": "gemma3n_text",
            "sliding_window": 16,
            "num_kv_shared_layers": 1,
            "vocab_size_per_layer_input": 50,
        }
        | {"layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]},
        2 * 2 * TOKEN,
        1,
    ),
}
WINDOW = 16


def built(config: dict[str, Any]) -> PreTrainedModel:
    """A small real BF16 model."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = AutoConfig.for_model(config["model_type"], **options)
        return AutoModelForCausalLM.from_config(parsed, dtype=torch.bfloat16).eval()


def stored(cache: DynamicCache) -> int:
    """Bytes of the storages behind every tensor of the cache."""
    tensors = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values", "indexer_keys")]
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors if isinstance(tensor, torch.Tensor))


def seen(cache: DynamicCache) -> set[int]:
    """Tokens that the layers' tensors show."""
    return {layer.keys.shape[-2] for layer in cache.layers if layer.keys is not None}


def read(model: PreTrainedModel, cache: DynamicCache | None, tokens: int) -> DynamicCache:
    """The cache after a pass over `tokens` more tokens of both sequences."""
    ids = torch.randint(3, 50, (B, tokens))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return model(input_ids=ids, past_key_values=cache, use_cache=True).past_key_values


def predicted(config: dict[str, Any], tokens: int, last: int) -> int:
    """The rule's bytes of `tokens` tokens of which the last pass read `last`."""
    run = ServeRun(kv_format=find_format("bf16"), max_model_len=tokens, max_num_seqs=B)
    return kv_cache(read_config(config, "tiny"), run, last).bytes


def by_hand(case: str, held: int, tokens: int) -> int:
    """Bytes where layers with a window hold `held` tokens and the others `tokens`."""
    _, each, windows = CASES[case]
    return B * (tokens * each + held * windows * 2 * TOKEN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case}-{by_hand(case, T, T)}B")
def test_after_the_prompt(case: str) -> None:
    """Every layer holds the whole prompt: a sliding layer shows window - 1 tokens of a storage that still has all of them."""
    config, _, windows = CASES[case]
    cache = read(built(config), None, T)
    assert stored(cache) == predicted(config, T, T) == by_hand(case, T, T)
    assert not windows or WINDOW - 1 in seen(cache)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case}-{by_hand(case, WINDOW, T + MORE)}B")
def test_while_tokens_are_generated(case: str) -> None:
    """One token a pass: a sliding layer's storage is window - 1 old tokens and the new one, the others' all tokens."""
    config, _, _ = CASES[case]
    model = built(config)
    cache = read(model, None, T)
    for _ in range(MORE):
        cache = read(model, cache, 1)
    assert stored(cache) == predicted(config, T + MORE, 1) == by_hand(case, WINDOW, T + MORE)


@pytest.mark.parametrize("case", ["gqa", "window", "window-and-global"])
def test_after_a_chunk_of_the_prompt(case: str) -> None:
    """A sliding layer puts the chunk behind the window - 1 tokens that it had."""
    config, _, _ = CASES[case]
    model = built(config)
    cache = read(model, read(model, None, T), 8)
    assert stored(cache) == predicted(config, T + 8, 8) == by_hand(case, WINDOW - 1 + 8, T + 8)


@pytest.mark.parametrize("case", ["gqa", "window"])
def test_a_prompt_shorter_than_the_window(case: str) -> None:
    """Before the window is full there is no difference."""
    config, _, _ = CASES[case]
    assert stored(read(built(config), None, 9)) == predicted(config, 9, 9) == by_hand(case, 9, 9)


def test_generate_leaves_the_same() -> None:
    """transformers' own loop: the cache holds the prompt and all generated tokens but the last."""
    config, each, _ = CASES["window-and-global"]
    ids = torch.randint(3, 50, (B, T))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = built(config).generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=MORE + 1,
            min_new_tokens=MORE + 1,
            do_sample=False,
            return_dict_in_generate=True,
        )
    assert (
        stored(out.past_key_values)
        == predicted(config, T + MORE, 1)
        == B * ((T + MORE) * each + 3 * WINDOW * 2 * TOKEN)
    )
