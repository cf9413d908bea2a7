"""Small models that many tests share."""

from typing import Any

from vramcast.domain.model import ModelSpec
from vramcast.sources.read import read_config

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
LLAMA_7B = LLAMA_8B | {"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 32000}
TINY = LLAMA_8B | {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 320,
}


def model(config: dict[str, Any], **changes: Any) -> ModelSpec:
    """The ModelSpec of `config` with some keys changed."""
    return read_config(config | changes, "test")
