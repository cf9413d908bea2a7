"""Real generation: what its cache holds, to the byte, and what the cache is for."""

import gc
from dataclasses import replace
from typing import Any

import pytest

from tests.measure.tiny import LLAMA
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import AttentionKernel, Cache, ServeRun
from vramcast.measure.decoding import cache_error, compare_decoding
from vramcast.measure.model import load
from vramcast.measure.quiet import quiet
from vramcast.measure.real_run import serve
from vramcast.measure.storages import live_bytes
from vramcast.measure.text import batches, own_text
from vramcast.rules.kv_cache import kv_cache
from vramcast.sources.read import read_config

B, T, LAYERS, HEAD, BF16 = 2, 40, 2, 16, 2
WINDOW = 12
RUN = ServeRun(weight_format=find_format("bf16"), kv_format=find_format("bf16"), max_model_len=T, max_num_seqs=B)
LATENT: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "head_dim": 8,
    "kv_lora_rank": 32,
    "q_lora_rank": None,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}
KINDS: dict[str, tuple[dict[str, Any], int]] = {  # config, elements of one sequence
    "MHA": (LLAMA | {"num_key_value_heads": 4}, LAYERS * T * 2 * 4 * HEAD),
    "GQA": (LLAMA, LAYERS * T * 2 * 2 * HEAD),
    "MQA": (LLAMA | {"num_key_value_heads": 1}, LAYERS * T * 2 * HEAD),
    "MLA": (LLAMA | LATENT, LAYERS * T * (32 + 8)),
    "sliding": (
        LLAMA
        | {"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]}
        | {"sliding_window": WINDOW, "pad_token_id": 0},
        (WINDOW + T) * 2 * 2 * HEAD,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_holds_what_the_formula_says(kind: str) -> None:
    """B · Σ layers · tokens · K · 2H · itemsize, or the latent's; the closed form says the same."""
    config, elements = KINDS[kind]
    measured = serve(config, RUN, device="cpu")
    assert measured.cache_bytes == BF16 * B * elements
    assert measured.cache_bytes == kv_cache(read_config(config, kind), RUN).bytes
    assert len(measured.seconds) == 3  # prefill and two tokens
    assert measured.peak.name == "prefill"


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_the_same_with_and_without_a_cache(kind: str) -> None:
    """The cache changes how soon tokens come, not which."""
    fp32 = replace(RUN, weight_format=find_format("fp32"), kv_format=find_format("fp32"))
    prompts = next(batches(own_text(), 256, B, 24))
    with quiet():
        model = load(KINDS[kind][0], fp32, "cpu")
        assert compare_decoding(model, prompts, 16).same_tokens


def test_the_cache_makes_decoding_faster() -> None:
    """Behind a long prompt a pass over one token is many times cheaper than over all of them."""
    prompts = next(batches(own_text(), 256, 1, 512))
    with quiet():
        model = load(LLAMA | {"max_position_embeddings": 1024}, RUN, "cpu")
        assert compare_decoding(model, prompts, 12).speed_up > 1.5


@pytest.mark.parametrize(("name", "bytes_each", "scales"), [("bf16", 2, 0), ("fp8-e4m3", 1, 4 * 2 * LAYERS)])
def test_a_quantised_cache_holds_a_byte_an_element(name: str, bytes_each: int, scales: int) -> None:
    """FP8 keys and values take half of BF16's, and one FP32 scale a tensor."""
    measured = serve(LLAMA, replace(RUN, kv_format=find_format(name)), device="cpu")
    assert measured.cache_bytes == bytes_each * B * KINDS["GQA"][1] + scales


def test_a_quantised_cache_has_an_error() -> None:
    """FP8 keys and values move the logits a little; how much is measured, and so is what it saves."""
    ids = next(batches(own_text(), 256, B, 48))
    with quiet():
        error = cache_error(load(LLAMA, RUN, "cpu"), ids, "fp8-e4m3", prompt=32)
    assert 1e-5 < error.relative < 0.05
    assert error.agreement > 0.8
    assert error.bytes < 0.51 * error.own_bytes


def test_a_static_cache_has_its_length_from_the_start() -> None:
    """It holds the same in the end, and all of it after prefill already."""
    static = serve(LLAMA, replace(RUN, cache=Cache.STATIC), device="cpu")
    dynamic = serve(LLAMA, RUN, device="cpu")
    assert static.cache_bytes == dynamic.cache_bytes
    grown = [one.reading("decode 2").held - one.reading("decode 1").held for one in (static, dynamic)]
    token = BF16 * B * LAYERS * 2 * 2 * HEAD
    assert grown[1] - grown[0] == token


def test_prefill_in_chunks() -> None:
    """Fewer tokens a pass: as many passes as it takes, a lower peak, the same cache."""
    whole = serve(LLAMA, RUN, device="cpu")
    chunked = serve(LLAMA, replace(RUN, prefill_tokens=20), device="cpu")
    names = [one.name for one in chunked.readings if one.name.startswith("prefill")]
    assert names == [f"prefill {number} of 4" for number in range(1, 5)]
    assert chunked.cache_bytes == whole.cache_bytes
    assert chunked.peak.allocated < whole.peak.allocated


def test_weights_are_served_in_four_bits() -> None:
    """A quantised model holds less when it is served, and keeps its cache in the format it computes in."""
    gc.collect()
    before = live_bytes("cpu")  # other tests leave some
    plain, stored = (serve(LLAMA, replace(RUN, weight_format=find_format(f)), device="cpu") for f in ("bf16", "nf4"))
    assert stored.cache_bytes == plain.cache_bytes
    assert stored.reading("load").held - before < 0.8 * (plain.reading("load").held - before)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"max_model_len": 2}, InputError, "leave no prompt"),
        ({"kv_format": find_format("fp8-e5m2")}, UnsupportedError, "keeps no cache in fp8-e5m2"),
        ({"kv_format": find_format("fp8-e4m3"), "cache": Cache.STATIC}, InputError, "quantised caches grow"),
        ({"attention": AttentionKernel.EFFICIENT}, UnsupportedError, "no efficient attention on the CPU"),
    ],
)
def test_what_cannot_be_served(change: dict[str, Any], error: type[Exception], words: str) -> None:
    """A run that cannot be is refused by name."""
    with pytest.raises(error, match=words):
        serve(LLAMA, replace(RUN, **change), device="cpu")
