"""Laws that hold for every forecast, whatever the figures."""

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.models import LLAMA_7B, TINY, model
from vramcast.app.predict import predict
from vramcast.catalog.number_formats import find_format
from vramcast.domain.forecast import Forecast
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import ServeRun
from vramcast.rules.kv_cache import kv_cache
from vramcast.sources.resolve import load_model

NAMES = (
    "llama-3.1-8b",
    "qwen2.5-0.5b",
    "gemma-2-9b",
    "gemma-3-1b",
    "mistral-7b-v0.1",
    "mixtral-8x7b",
    "gpt2",
    "phi-3-mini-4k",
    "deepseek-v2-lite",
    "qwen3-30b-a3b",
    "gpt-oss-20b",
    "falcon-7b",
    "olmo-2-7b",
    "mamba-2.8b",
    "qwen3-next-80b-a3b",
)
names = st.sampled_from(NAMES)
known = cache(load_model)
methods = st.sampled_from(["full", "lora", "qlora"])
runs = st.fixed_dictionaries(
    {
        "method": methods,
        "seq_len": st.sampled_from([128, 512, 1024, 4096, 8192]),
        "micro_batch": st.integers(1, 8),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "loss": st.sampled_from(["stock", "chunked", "fused-linear"]),
        "attention": st.sampled_from(["sdpa", "flash", "eager", "math", "efficient"]),
        "kernels": st.sampled_from(["eager", "fused-norms", "fused"]),
        "stack": st.sampled_from(["torch", "torch@2.15", "hf-trainer", "trl-sft"]),
        "optimizer": st.sampled_from(
            [
                "adamw-foreach",
                "adamw-fused",
                "adamw-loop",
                "adamw-8bit",
                "paged-adamw",
                "sgd",
                "lion",
                "adafactor",
                "muon",
            ]
        ),
        "device": st.sampled_from([None, "rtx-4090", "a100-80gb", "h100-80gb", "t4"]),
    }
)


def peak(spec: ModelSpec, run: dict[str, Any], **changes: Any) -> int:
    """Allocated bytes at the peak of `run` with some options changed."""
    return predict(spec, **(run | changes)).tiers.allocated


def without_threshold(optimizer: str) -> str:
    """bitsandbytes pages, and keeps in 8 bits, only the states of large tensors: growing past the threshold saves memory."""
    return "adamw-fused" if optimizer in ("adamw-8bit", "paged-adamw") else optimizer


@given(names, runs)
def test_every_part_of_a_term_is_accounted_for(name: str, run: dict[str, Any]) -> None:
    """Terms are not negative, their parts sum to them, and tiers rise from low over allocated to high."""
    forecast = predict(known(name), **run)
    for instant in forecast.instants:
        for term in instant.terms:
            assert term.bytes >= 0, term
            assert not term.parts or sum(part.bytes for part in term.parts) == term.bytes, term
    tiers = forecast.tiers
    assert 0 < tiers.allocated <= tiers.reserved <= tiers.process <= tiers.high
    assert tiers.low <= tiers.process


@given(names, runs)
def test_the_peak_is_the_largest_instant(name: str, run: dict[str, Any]) -> None:
    """The peak is one of the named instants and none is larger; it is never a sum of maxima."""
    forecast = predict(known(name), **run)
    assert forecast.peak in forecast.instants
    assert forecast.peak.allocated == max(instant.allocated for instant in forecast.instants)


@given(names, runs, st.integers(1, 8))
def test_more_sequences_never_lower_the_peak(name: str, run: dict[str, Any], more: int) -> None:
    """The peak rises with the micro-batch, or stays."""
    assert peak(known(name), run) <= peak(known(name), run, micro_batch=run["micro_batch"] + more)


@given(names, runs, st.integers(1, 4096))
def test_longer_sequences_never_lower_the_peak(name: str, run: dict[str, Any], more: int) -> None:
    """The peak rises with the sequence length, or stays, where the length does not change which attention kernel runs."""
    run = run | {"attention": "flash" if run["attention"] == "sdpa" else run["attention"]}
    assert peak(known(name), run) <= peak(known(name), run, seq_len=run["seq_len"] + more)


@given(names, runs, st.integers(1, 128), st.integers(1, 128))
def test_a_higher_rank_never_lowers_the_peak(name: str, run: dict[str, Any], rank: int, more: int) -> None:
    """The peak rises with the adapters' rank, or stays, where no optimizer treats large tensors otherwise than small ones."""
    run = run | {"method": "lora", "optimizer": without_threshold(run["optimizer"])}
    assert peak(known(name), run, lora_rank=rank) <= peak(known(name), run, lora_rank=rank + more)


@given(names, runs)
def test_recomputing_more_never_raises_the_peak(name: str, run: dict[str, Any]) -> None:
    """
    Recomputing takes no more than keeping everything, but for one block's input.

    That input is kept beside the recomputed block; without recomputation an eager norm's FP32 copy had taken its place. It
    shows only where the first block's backward is the peak, with all gradients there.
    """
    spec = known(name)
    one_input = 4 * spec.hidden_size * run["seq_len"] * run["micro_batch"]
    kept = peak(spec, run, recompute="none")
    assert peak(spec, run, recompute="selective") <= kept
    assert peak(spec, run, recompute="full") <= kept + one_input


@given(names, runs)
def test_training_less_never_takes_more(name: str, run: dict[str, Any]) -> None:
    """
    QLoRA ≤ LoRA ≤ full, in one run with recomputation on a stack that neither upcasts the base nor lacks autocast.

    Without these, each adapter keeps an FP32 copy of its input, and a long batch can cost more than full training's states.
    """
    run = run | {"stack": "trl-sft", "recompute": "full", "seq_len": min(run["seq_len"], 1024), "micro_batch": 1}
    run = run | {"optimizer": "adamw-fused", "device": "a100-80gb"}
    qlora, lora, full = (peak(known(name), run, method=method) for method in ("qlora", "lora", "full"))
    assert qlora <= lora <= full


@given(runs, st.integers(100, 100_000), st.integers(1, 100_000))
def test_a_larger_vocabulary_never_lowers_the_peak(run: dict[str, Any], vocab: int, more: int) -> None:
    """
    The peak rises with the vocabulary, or stays, where no optimizer treats large tensors otherwise than small ones.

    The fused loss is left out: it cuts its tokens into smaller chunks as the vocabulary grows.
    """
    run = run | {"optimizer": without_threshold(run["optimizer"])}
    run["loss"] = "stock" if run["loss"] == "fused-linear" else run["loss"]
    assert peak(model(TINY, vocab_size=vocab), run) <= peak(model(TINY, vocab_size=vocab + more), run)


@given(runs, st.integers(1, 20), st.integers(1, 20))
def test_more_layers_never_lower_the_peak(run: dict[str, Any], layers: int, more: int) -> None:
    """The peak rises with the number of layers, or stays."""
    small, large = (model(TINY, num_hidden_layers=count) for count in (layers, layers + more))
    assert peak(small, run) <= peak(large, run)


def serve(spec: ModelSpec, **options: Any) -> Forecast:
    """A served model's forecast."""
    return predict(spec, method="serve", **options)


@given(names, st.integers(1, 64), st.integers(1, 32_768), st.integers(1, 32))
def test_serving_more_never_takes_less(name: str, sequences: int, tokens: int, more: int) -> None:
    """More sequences or longer ones never lower a served model's peak."""
    base = serve(known(name), max_num_seqs=sequences, max_model_len=tokens).tiers.allocated
    assert base <= serve(known(name), max_num_seqs=sequences + more, max_model_len=tokens).tiers.allocated
    assert base <= serve(known(name), max_num_seqs=sequences, max_model_len=tokens + more).tiers.allocated


@given(st.integers(1, 16_384), st.integers(1, 16_384))
def test_a_window_never_takes_more_cache(tokens: int, window: int) -> None:
    """A sliding window keeps at most what full attention keeps."""
    run = ServeRun(kv_format=find_format("fp16"), max_model_len=tokens)
    whole = model(LLAMA_7B | {"model_type": "mistral", "sliding_window": None})
    assert kv_cache(model(LLAMA_7B | {"model_type": "mistral"}, sliding_window=window), run).bytes <= (
        kv_cache(whole, run).bytes
    )


@given(names, st.integers(1, 64), st.integers(1, 32_768))
def test_half_the_bits_are_half_the_cache(name: str, sequences: int, tokens: int) -> None:
    """An FP8 cache takes half the bytes of a BF16 one."""
    half = ServeRun(kv_format=find_format("bf16"), max_model_len=tokens, max_num_seqs=sequences)
    byte = replace(half, kv_format=find_format("fp8-e4m3"))
    assert kv_cache(known(name), byte).bytes * 2 == kv_cache(known(name), half).bytes
