"""The classic account of LLM memory, to the byte."""

import pytest

from tests.models import LLAMA_7B, model
from vramcast.app.methods import compare_methods
from vramcast.app.predict import predict
from vramcast.catalog.number_formats import find_format
from vramcast.domain.forecast import Category, Forecast
from vramcast.domain.run import Adapter, ServeRun
from vramcast.rules.adapters import adapter_weights
from vramcast.rules.kv_cache import kv_cache
from vramcast.units import GIB

PHI = 8 * 10**9
GB = 10**9


def at_the_step(forecast: Forecast, category: Category) -> list[int]:
    """Bytes of each term of `category` while the optimizer steps."""
    return [term.bytes for term in forecast.instants[-1].terms if term.category is category]


def test_mixed_precision_is_sixteen_bytes_a_parameter() -> None:
    """8B with an FP32 master: weights 16 + 32 GB, gradients 16 GB, moments 64 GB, together 128 GB = 16Φ = 119.2 GiB."""
    forecast = predict("8B", method="full", precision="master-fp16", optimizer="adamw-fused")
    assert at_the_step(forecast, Category.PARAMETERS) == [16 * GB, 32 * GB]
    assert at_the_step(forecast, Category.GRADIENTS) == [16 * GB]
    assert at_the_step(forecast, Category.OPTIMIZER_STATES) == [(32 + 32) * GB]
    static = 48 * GB + 16 * GB + 64 * GB
    assert static == 128 * GB == 16 * PHI
    assert round(static / GIB, 1) == 119.2


def test_pure_bf16_is_eight_bytes_a_parameter() -> None:
    """8B in pure BF16: 2Φ weights + 4Φ moments + 2Φ gradients."""
    forecast = predict("8B", method="full", precision="bf16", optimizer="adamw-fused")
    assert at_the_step(forecast, Category.PARAMETERS) == [2 * PHI]
    assert at_the_step(forecast, Category.OPTIMIZER_STATES) == [4 * PHI]
    assert at_the_step(forecast, Category.GRADIENTS) == [2 * PHI]


def test_the_four_rules_of_thumb() -> None:
    """16Φ, 8Φ and 2Φ are exact for a bare size; 0.5Φ leaves out NF4's scales, which the account states."""
    rows = {row.name: row for row in compare_methods("8B")}
    assert {name: row.rule_bytes for name, row in rows.items()} == {
        "full-mixed": 16 * PHI,
        "full-bf16": 8 * PHI,
        "lora": 2 * PHI,
        "qlora": PHI // 2,
    }
    for name in ("full-mixed", "full-bf16", "lora"):
        assert rows[name].exact_bytes == rows[name].rule_bytes
    scales = rows["qlora"].exact_bytes - rows["qlora"].rule_bytes
    assert scales == rows["qlora"].gap[0].bytes
    assert scales == pytest.approx(PHI * 0.127 / 8, rel=0.001)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b"])
def test_the_gap_to_the_rule_of_thumb_is_accounted_for(name: str) -> None:
    """For a real model, what each rule leaves out sums to the gap between rule and exact."""
    for row in compare_methods(name):
        assert sum(part.bytes for part in row.gap) == row.exact_bytes - row.rule_bytes


@pytest.mark.parametrize(("sequences", "size"), [(64, 64), (1, 1)])
def test_kv_cache_of_a_7b_llama(sequences: int, size: int) -> None:
    """D 4096, L 32, FP16, T 2048: 64 sequences take 64 GiB, one takes 1 GiB."""
    run = ServeRun(kv_format=find_format("fp16"), max_model_len=2048, max_num_seqs=sequences)
    assert kv_cache(model(LLAMA_7B), run).bytes == size * GIB


@pytest.mark.parametrize("kv_heads", [32, 16, 8, 4, 1])
def test_grouped_and_single_query_attention_shrink_the_cache(kv_heads: int) -> None:
    """K of N heads keep K/N of the cache; multi-query attention keeps 1/N."""
    run = ServeRun(kv_format=find_format("fp16"), max_model_len=2048, max_num_seqs=32)
    whole = kv_cache(model(LLAMA_7B), run).bytes
    assert kv_cache(model(LLAMA_7B, num_key_value_heads=kv_heads), run).bytes * 32 == whole * kv_heads


def test_lora_replaces_a_square_by_two_strips() -> None:
    """A d·d matrix gains 2·d·r trainable parameters."""
    square = model(LLAMA_7B)
    weights = adapter_weights(square, Adapter(rank=16, targets=("q_proj",)))
    assert sum(w.parameters for w in weights) == 32 * 2 * 4096 * 16
