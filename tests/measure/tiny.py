"""Configs of small models, and runs that take a moment."""

from typing import Any

from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import Adapter, Method, Precision, Quantization, TrainRun

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 256,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


def run(precision: Precision = Precision.BF16, **options: Any) -> TrainRun:
    """A short step."""
    return TrainRun(**{"precision": precision, "seq_len": 32, "micro_batch": 2, **options})


def lora(name: str = "", **options: Any) -> TrainRun:
    """The same with adapters, on weights quantised as `name`, if any."""
    method = Method.QLORA if name else Method.LORA
    quantization = Quantization(format=find_format(name)) if name else None
    return run(**{"method": method, "adapter": Adapter(rank=4), "quantization": quantization, **options})
