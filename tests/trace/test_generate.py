"""Serving on a device that stores nothing: caches to the byte, and the same bytes as real tensors at every boundary."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.dev.test_kv_cache import CASES, ITEM, WINDOW
from tests.trace.served import (
    CONFIGS,
    STEPS,
    B,
    T,
    asked,
    built,
    held,
    live_bytes,
    quiet,
    real_curve,
    traced,
    traced_curve,
)
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Cache, ServeRun
from vramcast.domain.timeline import Timeline
from vramcast.trace.caches import CacheKind, cache_of
from vramcast.trace.generate import serve
from vramcast.trace.session import tracing

INT64 = 8  # a sliding layer's window and a static layer's length are numbers on the device
FP32 = 4


def cache_at(timeline: Timeline, mark: int) -> int:
    """Bytes of cache at a mark."""
    return live_bytes(timeline, Category.KV_CACHE)[timeline.marks[mark].event]


@pytest.mark.parametrize("case", CASES)
def test_growing_cache(case: str) -> None:
    """After the last pass: all tokens of the layers that keep the past, a window of the others, and its length."""
    _, each, windows = CASES[case]
    sliding = windows * (WINDOW * 2 * 2 * 16 * ITEM * B + INT64)
    assert cache_at(traced(case), -1) == B * T * each + sliding


@pytest.mark.parametrize("case", ["mha", "gqa", "mqa", "mla"])
def test_static_cache(case: str) -> None:
    """It has its full length after the first pass, and nothing of it is born afterwards."""
    config, each, _ = CASES[case]
    timeline = traced(case, cache=CacheKind.STATIC)
    full = B * T * each + config["num_hidden_layers"] * INT64
    assert [cache_at(timeline, mark) for mark in (2, 4, 6)] == [full] * 3
    kept = [number for number, block in enumerate(timeline.blocks) if block.category is Category.KV_CACHE]
    assert all(timeline.blocks[number].phase is Phase.PREFILL for number in kept)


@pytest.mark.parametrize("case", ["mha", "gqa", "mqa", "mla"])
def test_cache_in_fp8(case: str) -> None:
    """A byte an element, and one FP32 scale for the keys and one for the values of a layer."""
    config, each, _ = CASES[case]
    scales = 2 * config["num_hidden_layers"] * FP32
    assert cache_at(traced(case, cache=CacheKind.FP8), -1) == B * T * each // ITEM + scales


def test_states_of_mamba2() -> None:
    """Each layer: heads x head width x state, and the convolution's last inputs; no token adds to them."""
    config = CONFIGS["mamba2"]
    inner = config["num_heads"] * config["head_dim"]
    channels = inner + 2 * config["n_groups"] * config["state_size"]
    layer = inner * config["state_size"] * FP32 + channels * config["conv_kernel"] * ITEM
    timeline = traced("mamba2")
    assert cache_at(timeline, 2) == cache_at(timeline, -1) == B * config["num_hidden_layers"] * layer


def test_states_of_qwen3_next() -> None:
    """Three layers of four keep a key x value matrix a head and the convolution's inputs, the fourth keeps tokens."""
    config = CONFIGS["qwen3_next"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] * config["linear_value_head_dim"]
    state = config["linear_num_value_heads"] * config["linear_key_head_dim"] * config["linear_value_head_dim"]
    tail = (2 * keys + values) * config["linear_conv_kernel_dim"]
    token = 2 * config["num_key_value_heads"] * config["head_dim"]
    full = sum(kind == "full_attention" for kind in built_layers("qwen3_next"))
    linear = config["num_hidden_layers"] - full
    held = linear * (state * FP32 + tail * ITEM) + full * T * token * ITEM
    assert cache_at(traced("qwen3_next"), -1) == B * held


def built_layers(name: str) -> list[str]:
    """Kinds of layer, as the configuration class fills them in."""
    with torch.device("meta"), quiet():
        return list(built(name).config.layer_types)


TRUTH: list[Any] = ["gqa", "qwen3", "window-and-global", "mla", "gpt2", "mamba2", "jamba", "qwen3_next", "zamba2"]


@pytest.mark.parametrize("name", TRUTH)
def test_real_tensors_hold_the_same(name: str) -> None:
    """Every storage, in the same order, with the same bytes beside it, as the CPU's own allocator saw it."""
    assert traced_curve(traced(name, "cpu")) == real_curve(name)


@pytest.mark.parametrize("name", ["gqa", "window-and-global", "jamba"])
@pytest.mark.parametrize(
    ("cache", "chunk"), [(CacheKind.DYNAMIC, 18), (CacheKind.STATIC, None), (CacheKind.STATIC, 18)]
)
def test_real_tensors_hold_the_same_in_chunks_and_static(name: str, cache: CacheKind, chunk: int | None) -> None:
    """A prompt in chunks, and a cache of full length."""
    assert traced_curve(traced(name, "cpu", cache, chunk)) == real_curve(name, cache, chunk)


def test_real_tensors_hold_the_same_in_fp8() -> None:
    """A quantised cache."""
    assert traced_curve(traced("gqa", "cpu", CacheKind.FP8)) == real_curve("gqa", CacheKind.FP8)


def test_marks_and_progress() -> None:
    """Each pass and each choice of a token is a mark; passes are announced."""
    heard: list[str] = []
    with quiet(), tracing() as recorder:
        model = built("gqa")
        serve(model, asked(40), recorder, decode_steps=1, progress=heard.append)
    names = [mark.name for mark in recorder.timeline().marks]
    passes = ["prefill 1 of 3", "next token", "prefill 2 of 3", "next token", "prefill 3 of 3", "next token"]
    assert names == ["prompts", *passes, "decode 1", "next token"]
    assert heard == [*passes[::2], "decode 1"]


def test_categories() -> None:
    """Weights, the prompt, the cache, and the last tokens' logits with their FP32 copy are told apart."""
    timeline = traced("gqa")
    with torch.device("meta"), quiet():
        weights = sum(tensor.nbytes for tensor in held(built("gqa")))
    assert live_bytes(timeline, Category.PARAMETERS)[timeline.marks[0].event] == weights
    prompt = next(block for block in timeline.blocks if block.category is Category.ACTIVATIONS)
    assert prompt.bytes == B * (T - STEPS) * INT64
    sizes = {block.bytes for block in timeline.blocks if block.category is Category.LOGITS}
    assert sizes == {B * 50 * ITEM, B * 50 * FP32}
    assert max(live_bytes(timeline, Category.LOGITS)) == B * 50 * (ITEM + FP32 + FP32)


@pytest.mark.parametrize("device", ["standin", "cpu"])
@pytest.mark.parametrize(
    "options", [{"do_sample": False}, {"do_sample": True, "top_k": 5}, {"cache_implementation": "static"}], ids=str
)
def test_generate_as_a_user_calls_it(device: str, options: dict[str, Any]) -> None:
    """It reads masks, special tokens and stop signs, and ends at its length."""
    with quiet(), tracing(device):
        model = built("gqa")
        tokens = model.generate(torch.randint(3, 50, (B, 12)), max_new_tokens=3, **options)
    assert tokens.shape == (B, 15) and tokens.device.type == device


def test_what_cannot_be_served() -> None:
    """A missing package, a prompt that cannot be read in chunks, a cache that knows no windows, and no room."""
    with quiet(), tracing() as recorder:
        llama, mamba, gemma, rwkv = map(built, ("gqa", "mamba2", "window-and-global", "rwkv"))
        for cache, package in ((CacheKind.QUANTO, "optimum-quanto"), (CacheKind.HQQ, "hqq")):
            with pytest.raises(UnsupportedError, match=package) as missing:
                serve(llama, asked(), recorder, cache=cache)
            assert missing.value.hint == f"pip install {package}"
        with pytest.raises(UnsupportedError, match="one pass"):
            serve(mamba, asked(18), recorder)
        with pytest.raises(UnsupportedError, match="sliding_attention"):
            serve(gemma, asked(), recorder, cache=CacheKind.FP8)
        with pytest.raises(UnsupportedError, match="its own"):
            serve(rwkv, asked(), recorder, cache=CacheKind.STATIC)
        with pytest.raises(InputError, match="no prompt"):
            serve(llama, asked(), recorder, decode_steps=T)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, CacheKind.DYNAMIC),
        ({"cache": Cache.STATIC}, CacheKind.STATIC),
        ({"kv_format": find_format("fp8-e4m3")}, CacheKind.FP8),
        ({"kv_format": find_format("int4")}, CacheKind.QUANTO),
    ],
)
def test_the_cache_that_a_run_asks_for(options: dict[str, Any], kind: CacheKind) -> None:
    """The run's format and growth choose among transformers' caches."""
    run = replace(ServeRun(kv_format=find_format("bf16")), **options)
    assert cache_of(run, nn.Linear(2, 2, dtype=torch.bfloat16)) is kind


def test_caches_that_transformers_has_not() -> None:
    """Another half precision than the model's, and a quantised cache of full length, are refused with what to try."""
    layer = nn.Linear(2, 2, dtype=torch.bfloat16)
    with pytest.raises(UnsupportedError, match="no cache in fp16"):
        cache_of(ServeRun(kv_format=find_format("fp16")), layer)
    with pytest.raises(InputError, match="caches grow"):
        cache_of(ServeRun(kv_format=find_format("fp8-e4m3"), cache=Cache.STATIC), layer)
