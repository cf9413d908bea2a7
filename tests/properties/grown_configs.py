"""A small valid config for every reader, found by asking it what it misses, and the keys that it looks at."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from vramcast.domain.errors import InputError, VramcastError
from vramcast.sources.config import Config
from vramcast.sources.registry import readers

_SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_hidden_layers": 4}
_SPECIAL: dict[str, dict[str, Any]] = {
    "chatglm": {"ffn_hidden_size": 128},
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "conv"]},
    "longcat_flash": {"moe_topk": 2},
    "mamba2": {"num_heads": 8},
    "zamba2": {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "qwen": {"kv_channels": 16},
}
_MISSING = re.compile(r"config has no `(\w+)`")


@dataclass(frozen=True)
class Grown:
    """A config that a reader takes, and every key it asks for, present or not."""

    config: dict[str, Any]
    keys: tuple[str, ...]


class _Watched(Config):
    """A config that remembers which keys it was asked for."""

    def __init__(self, data: Mapping[str, Any], name: str, seen: set[str] | None = None) -> None:
        super().__init__(data, name)
        self.seen = set() if seen is None else seen

    def has(self, key: str) -> bool:
        self.seen.add(key)
        return super().has(key)

    def raw(self, *keys: str) -> Any:
        self.seen.update(keys)
        return super().raw(*keys)

    def renamed(self, **names: str) -> Config:
        self.seen.update(names.values())
        return _Watched(super().renamed(**names)._data, self.name, self.seen)


def grow(model_type: str) -> Grown:
    """
    The config of one type: each key that is missed is given a small size until the reader is content.

    Raises:
        VramcastError: small sizes do not satisfy this reader; `_SPECIAL` should say what does.
    """
    config: dict[str, Any] = {"model_type": model_type, **_SIZES, **_SPECIAL.get(model_type, {})}
    seen: set[str] = set()
    while True:
        try:
            readers()[model_type](_Watched(config, "grown", seen))
        except InputError as error:
            missing = _MISSING.search(error.what)
            if missing is None or missing[1] in config:
                raise
            config[missing[1]] = 8
        else:
            return Grown(config, tuple(sorted(seen)))


@cache
def grown_configs() -> dict[str, Grown]:
    """One for every reader that small sizes satisfy."""
    grown: dict[str, Grown] = {}
    for model_type in sorted(readers()):
        with suppress(VramcastError):
            grown[model_type] = grow(model_type)
    return grown
