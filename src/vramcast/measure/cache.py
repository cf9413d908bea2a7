"""The caches that transformers' generation keeps, and the bytes they hold."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import Cache, ServeRun
from vramcast.measure.storages import storage_bytes

QUANTISED = {"fp8-e4m3": "fp8", "int4": "quanto"}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def cache_options(run: ServeRun, weights: torch.dtype) -> dict[str, Any]:
    """
    What `GenerationConfig` is told, so that it keeps the cache that the run asks for.

    Raises:
        InputError: a quantised cache that is static.
        UnsupportedError: transformers keeps no cache in that format beside such weights.
    """
    name = run.kv_format.name
    if name == NAMES.get(weights):
        is_static = run.cache is Cache.STATIC
        return {"cache_implementation": "static", "disable_compile": True} if is_static else {}
    if name not in QUANTISED:
        known = ", ".join((NAMES.get(weights, str(weights)), *QUANTISED))
        raise UnsupportedError(f"transformers keeps no cache in {name} here", f"--kv-format {known}")
    if run.cache is Cache.STATIC:
        raise InputError("transformers' quantised caches grow", "--cache dynamic")
    return {"cache_implementation": "quantized", "cache_config": {"backend": QUANTISED[name]}}


def cache_bytes(cache: Any) -> int:
    """
    Bytes of the storages behind keys, values, their scales, and recurrent states.

    Ignores: counters, such as the length of a sliding window.
    """
    layers = [vars(layer) for layer in getattr(cache, "layers", ())]
    found = [one for one in _tensors(layers) if one.is_floating_point() or one.dim() > 0]
    return storage_bytes(found)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
