"""Closed forms against transformers: the Llama family."""

from typing import Any

import pytest

from tests.dev.meta import parameters_on_meta
from vramcast.sources.read import read_config

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(
    "change",
    [{}, {"tie_word_embeddings": True}, {"attention_bias": True}, {"mlp_bias": True}, {"head_dim": 24}],
    ids=str,
)
def test_llama_counts_equal_transformers(change: dict[str, Any]) -> None:
    """Every option that adds parameters is counted as transformers builds it."""
    config = TINY | change
    assert read_config(config, "tiny").parameters == parameters_on_meta(config)
