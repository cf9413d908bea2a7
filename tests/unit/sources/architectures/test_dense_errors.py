"""Configs that cannot be: every one is refused in one line that names what is wrong."""

from typing import Any

import pytest

from tests.dev.dense_configs import CASES, GPT, LLAMA, PLAIN
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.sources.read import read_config

ESSENTIAL = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")
DERIVED = {("opt", ESSENTIAL[-1]), ("falcon", ESSENTIAL[-1]), ("gpt_neox_japanese", ESSENTIAL[-1])}
NEEDED = [(name, key) for name, (base, _) in CASES.items() for key in ESSENTIAL if key in base]
NEEDED = [pair for pair in NEEDED if pair not in DERIVED]
IMPOSSIBLE: list[tuple[str, dict[str, Any], str]] = [
    ("llama", PLAIN | {"num_attention_heads": 5}, "5 heads do not divide a hidden size of 64"),
    ("llama", LLAMA | {"num_key_value_heads": 3}, "3 key/value heads do not divide 4 heads"),
    ("llama", LLAMA | {"num_key_value_heads": 0}, "`num_key_value_heads`"),
    ("llama", LLAMA | {"num_hidden_layers": 2**40}, "at most 10,000"),
    ("llama", LLAMA | {"attention_dropout": 2.0}, "`attention_dropout` must be a probability"),
    ("llama", LLAMA | {"tie_word_embeddings": "no"}, "`tie_word_embeddings` must be true or false"),
    ("gpt2", GPT | {"n_head": 5}, "5 heads do not divide"),
    ("falcon", PLAIN | {"new_decoder_architecture": True, "num_kv_heads": 3}, "3 key/value heads"),
    ("gemma2", LLAMA | {"layer_types": ["full_attention"]}, "`layer_types` lists 1 layers"),
    ("gemma2", LLAMA | {"layer_types": ["full_attention"] * 6 + ["mamba"]}, "`layer_types` must be"),
    ("gemma2", LLAMA | {"final_logit_softcapping": "30"}, "`final_logit_softcapping` must be a finite number"),
    ("gemma3_text", LLAMA | {"sliding_window_pattern": 0}, "`sliding_window_pattern`"),
    ("gemma3n_text", LLAMA, "15 layers of 7 share keys and values"),
    ("gemma3n_text", LLAMA | {"num_kv_shared_layers": 1, "intermediate_size": [8]}, "a width for each of 7 layers"),
    ("gemma4_text", LLAMA | {"num_kv_shared_layers": 2}, "2 layers of 7 share keys and values"),
    ("gemma4_text", LLAMA | {"per_layer_config": {"6": {"num_key_value_heads": 3}}}, "3 key/value heads"),
    ("exaone4", LLAMA | {"sliding_window_pattern": "LXG"}, "letters L and G"),
    ("smollm3", LLAMA | {"no_rope_layers": [1, 0]}, "`no_rope_layers` lists 2 layers"),
    ("granite_swa", LLAMA | {"layer_rope_theta": [1e4]}, "`layer_rope_theta` must list"),
    ("helium", LLAMA, "heads of 128 features do not make a hidden size of 64"),
    ("gpt_neo", CASES["gpt_neo"][0] | {"num_layers": 5}, "`attention_types` lists 4 layers, the model has 5"),
    ("gpt_neo", CASES["gpt_neo"][0] | {"attention_types": [["global"]]}, "`attention_types` must be"),
    ("mllama_text_model", LLAMA | {"cross_attention_layers": list(range(7))}, "leaves no layer for text"),
]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gpt2", GPT | {"add_cross_attention": True}, "cross-attention"),
    ("xglm", CASES["xglm"][0] | {"add_cross_attention": True}, "cross-attention"),
    ("mpt", CASES["mpt"][0] | {"attn_config": {"attn_type": "multiquery_attention"}}, "multiquery_attention"),
    ("mpt", CASES["mpt"][0] | {"attn_config": {"qk_ln": True}}, "query/key norm"),
    ("gemma4_text", LLAMA | {"per_layer_config": {"0": {"intermediate_size": 8}}}, "`intermediate_size`"),
]


@pytest.mark.parametrize(("model_type", "config", "said"), IMPOSSIBLE)
def test_impossible_configs_are_input_errors(model_type: str, config: dict[str, Any], said: str) -> None:
    """Whatever does not fit together is named, and never divides by zero."""
    with pytest.raises(InputError) as caught:
        read_config({"model_type": model_type, **config}, "it")
    assert said in caught.value.what


@pytest.mark.parametrize(("model_type", "config", "said"), REFUSED)
def test_designs_without_a_closed_form_are_unsupported(model_type: str, config: dict[str, Any], said: str) -> None:
    """An option that changes the design is refused by name, not ignored."""
    with pytest.raises(UnsupportedError) as caught:
        read_config({"model_type": model_type, **config}, "it")
    assert said in caught.value.what


@pytest.mark.parametrize(("model_type", "key"), NEEDED)
def test_sizes_are_never_guessed(model_type: str, key: str) -> None:
    """A config that stands alone and leaves a size out is refused."""
    config = {name: value for name, value in CASES[model_type][0].items() if name != key}
    with pytest.raises(InputError, match=f"config has no `{key}`"):
        read_config({"model_type": model_type, **config}, "it")
