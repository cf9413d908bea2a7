"""What a cache is for: the same tokens, sooner; and what storing it in fewer bits costs."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, QuantizedCache

from vramcast.measure.cache import QUANTISED, cache_bytes
from vramcast.measure.serve import generated


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """Greedy generation with a cache and without: whether the tokens are the same, and the seconds that each took."""

    same_tokens: bool
    with_cache: float
    without_cache: float

    @property
    def speed_up(self) -> float:
        """Times as fast with the cache."""
        return self.without_cache / self.with_cache


def compare_decoding(model: PreTrainedModel, prompts: Tensor, new: int) -> Decoding:
    """`new` tokens behind each prompt, once with keys and values kept, once with all of them computed at every pass."""
    found = {}
    for keeps in (True, False):
        began = time.perf_counter()
        answer = generated(model, prompts, new, use_cache=keeps)
        found[keeps] = answer.sequences.tolist(), time.perf_counter() - began  # the list waits for the device
    (cached, quick), (uncached, slow) = found[True], found[False]
    return Decoding(same_tokens=cached == uncached, with_cache=quick, without_cache=slow)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheError:
    """
    A quantised cache beside one in the model's own format.

    `relative` is the root mean square of the logits' error over that of the logits, behind the same tokens; `agreement` the
    share of passes in which the likeliest token is the same; `bytes` and `own_bytes` what the two caches held in the end.
    """

    format: str
    relative: float
    agreement: float
    bytes: int
    own_bytes: int


@torch.no_grad()
def cache_error(model: PreTrainedModel, ids: Tensor, format_name: str, *, prompt: int) -> CacheError:
    """
    Read the first `prompt` tokens of `ids`, then the others one a pass, with both caches.

    Args:
        model: ready to be served.
        ids: sequences, whose tokens are given: both caches see the same.
        format_name: `fp8-e4m3`, or `int4`, which needs the package optimum-quanto.
        prompt: tokens of the first pass, in which a quantised cache still answers with what it was given.
    """
    caches: list[Any] = [DynamicCache(config=model.config), QuantizedCache(QUANTISED[format_name], model.config)]
    own, quantised = (_logits(model, ids, cache, prompt) for cache in caches)
    error = (quantised - own).square().mean() / own.square().mean()
    return CacheError(
        format=format_name,
        relative=error.sqrt().item(),
        agreement=(own.argmax(-1) == quantised.argmax(-1)).float().mean().item(),
        bytes=cache_bytes(caches[1]),
        own_bytes=cache_bytes(caches[0]),
    )


def _logits(model: PreTrainedModel, ids: Tensor, cache: Any, prompt: int) -> Tensor:
    """Of the passes after the first."""
    model(input_ids=ids[:, :prompt], past_key_values=cache, use_cache=True)
    passes = [
        model(input_ids=ids[:, place : place + 1], past_key_values=cache, use_cache=True).logits
        for place in range(prompt, ids.shape[1])
    ]
    return torch.cat(passes, dim=1).float()
