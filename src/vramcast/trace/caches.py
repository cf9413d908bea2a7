"""The caches that transformers' generation can keep, and the tensors they hold."""

from collections.abc import Iterator
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig, QuantizedCache

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import Cache, ServeRun
from vramcast.trace.build import DTYPES

STATES_IN_MODULES = ("recurrent_states", "conv1d_state")  # RecurrentGemma keeps them beside its weights


class CacheKind(StrEnum):
    """
    How keys and values are kept between two passes.

    `dynamic` grows by a token a pass (sliding layers and recurrent states keep their own sizes), `static` has its full
    length from the start, `fp8`, `quanto` (4 bits) and `hqq` (4 bits) are quantised and grow.
    """

    DYNAMIC = "dynamic"
    STATIC = "static"
    FP8 = "fp8"
    QUANTO = "quanto"
    HQQ = "hqq"


_KEPT = {dtype: name for name, dtype in DTYPES.items()}
_QUANTISED = {"fp8-e4m3": CacheKind.FP8, "int4": CacheKind.QUANTO}
_PACKAGES = {CacheKind.QUANTO: ("optimum.quanto", "optimum-quanto"), CacheKind.HQQ: ("hqq", "hqq")}


def cache_of(run: ServeRun, model: nn.Module) -> CacheKind:
    """
    The cache that a run asks for: keys and values as `model` computes them, or quantised.

    Raises:
        InputError: a quantised cache that is static.
        UnsupportedError: transformers keeps no cache in that format.
    """
    name = run.kv_format.name
    dtype = next(tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
    if name == _KEPT.get(dtype):
        return CacheKind(run.cache.value)
    if name not in _QUANTISED:
        known = ", ".join((_KEPT.get(dtype, str(dtype)), *_QUANTISED))
        raise UnsupportedError(f"transformers keeps no cache in {name} here", f"--kv-format {known}")
    if run.cache is Cache.STATIC:
        raise InputError("transformers' quantised caches grow", "--cache dynamic")
    return _QUANTISED[name]


def generation_options(kind: CacheKind, config: PreTrainedConfig) -> dict[str, Any]:
    """
    What `GenerationConfig` is told about the cache.

    Raises:
        UnsupportedError: the cache needs a package that is not installed, or does not know this model's layers.
    """
    if kind is CacheKind.DYNAMIC:
        return {}
    if kind is CacheKind.STATIC:
        return {"cache_implementation": "static", "disable_compile": True}
    if kind in _PACKAGES and not _installed(_PACKAGES[kind][0]):
        package = _PACKAGES[kind][1]
        raise UnsupportedError(f"a cache quantised by {kind} needs the package {package}", f"pip install {package}")
    try:
        QuantizedCache(kind.value, config)
    except ValueError as error:
        raise UnsupportedError(f"no quantised cache for {config.model_type}: {error}") from error
    return {"cache_implementation": "quantized", "cache_config": {"backend": kind.value}}


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def held_by(cache: Any) -> Iterator[Tensor]:
    """Every tensor within a cache, whatever its class: tensors, containers and transformers' own objects are opened."""
    seen: set[int] = set()
    unopened = [cache]
    while unopened:
        one = unopened.pop()
        if one is None or id(one) in seen or isinstance(one, PreTrainedConfig | nn.Module):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            inner = getattr(one, "__tensor_flatten__", None)
            if inner is None:
                yield one
            else:
                unopened.extend(getattr(one, name) for name in inner()[0])
        elif isinstance(one, dict):
            unopened.extend(one.values())
        elif isinstance(one, list | tuple):
            unopened.extend(one)
        elif type(one).__module__.startswith("transformers."):
            unopened.extend(vars(one).values())


def states_within(model: nn.Module) -> Iterator[Tensor]:
    """Recurrent states that modules keep as attributes."""
    for module in model.modules():
        for name in STATES_IN_MODULES:
            state = vars(module).get(name)
            if isinstance(state, Tensor):
                yield state
