"""Pieces that many architectures' readers share."""

from typing import Any

from vramcast.domain.layer import Attention, Norm, NormKind
from vramcast.domain.model import ModelSpec
from vramcast.sources.config import Config

_DTYPES = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float64": "fp64",
    "float8_e4m3fn": "fp8-e4m3",
}


def rms(width: int) -> Norm:
    """An RMS norm over `width` features."""
    return Norm(NormKind.RMS, width)


def layer_norm(width: int, *, bias: bool = True) -> Norm:
    """A layer norm over `width` features."""
    return Norm(NormKind.LAYER, width, bias=bias)


def checkpoint_dtype(config: Config) -> str:
    """The checkpoint's number format (`dtype`, or `torch_dtype` as older files call it); bf16 if not stated."""
    return _DTYPES.get(config.text("dtype", "torch_dtype", default="bfloat16").removeprefix("torch."), "bf16")


def grouped_query(config: Config, **options: Any) -> Attention:
    """Attention from the usual keys: heads, KV heads (default: as many), head dim (default: hidden / heads)."""
    heads = config.size("num_attention_heads")
    return Attention(
        heads=heads,
        kv_heads=config.size("num_key_value_heads", default=heads),
        head_dim=config.size("head_dim", default=0) or max(1, config.size("hidden_size") // heads),
        **options,
    )


def spec(config: Config, **options: Any) -> ModelSpec:
    """A ModelSpec from the usual keys; `options` overrides or adds fields."""
    fields: dict[str, Any] = {
        "name": config.name,
        "model_type": config.model_type,
        "hidden_size": config.size("hidden_size"),
        "vocab_size": config.size("vocab_size"),
        "max_positions": config.size("max_position_embeddings", default=None),
        "dtype": checkpoint_dtype(config),
    }
    return ModelSpec(**(fields | options))
