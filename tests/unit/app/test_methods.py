"""The four ways to train, side by side: rule of thumb, exact account, and what lies between."""

import pytest

from tests.models import TINY, model
from vramcast.app.methods import MethodRow, compare_methods
from vramcast.domain.run import Method, Precision, TrainRun

TINY_MODEL = model(TINY)
PHI = TINY_MODEL.parameters
LINEARS = 4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 704 * 256)
ADAPTERS = 4 * 16 * (2 * 512 + 2 * 384 + 3 * 960)


def rows(**options: object) -> dict[str, MethodRow]:
    """The four rows by name."""
    return {row.name: row for row in compare_methods(TINY_MODEL, **options)}


def test_four_ways_in_their_order() -> None:
    """From most to least memory, each with the run behind it."""
    found = rows()
    assert list(found) == ["full-mixed", "full-bf16", "lora", "qlora"]
    runs = [row.forecast.run for row in found.values()]
    assert all(isinstance(run, TrainRun) for run in runs)
    assert [run.method for run in runs if isinstance(run, TrainRun)] == [
        Method.FULL,
        Method.FULL,
        Method.LORA,
        Method.QLORA,
    ]
    assert [run.precision for run in runs if isinstance(run, TrainRun)] == [Precision.MASTER_BF16] + 3 * [
        Precision.BF16
    ]


def test_rules_of_thumb() -> None:
    """16, 8, 2 and half a byte a parameter."""
    assert {name: row.rule_bytes for name, row in rows().items()} == {
        "full-mixed": 16 * PHI,
        "full-bf16": 8 * PHI,
        "lora": 2 * PHI,
        "qlora": round(PHI / 2),
    }


@pytest.mark.parametrize(("name", "multiple"), [("full-mixed", 16), ("full-bf16", 8)])
def test_full_training_is_as_the_rule_says(name: str, multiple: int) -> None:
    """Nothing lies between; the parts are weights, states, gradients."""
    row = rows()[name]
    assert row.exact_bytes == row.rule_bytes == multiple * PHI
    assert row.exact_multiple == multiple
    assert row.gap == ()
    assert sum(part.bytes for part in row.parts) == row.exact_bytes


def test_lora_leaves_out_its_adapters() -> None:
    """In FP32: their weights, two moments, gradients."""
    row = rows()["lora"]
    assert row.exact_bytes == 2 * PHI + 4 * ADAPTERS * (1 + 2 + 1)
    assert [part.bytes for part in row.gap] == [4 * ADAPTERS, 2 * 4 * ADAPTERS, 4 * ADAPTERS]
    assert "of the adapters" in row.gap[1].label


def test_qlora_leaves_out_scales_and_what_stays_whole() -> None:
    """NF4 with double quantisation: the gap is scales, embeddings, head, norms in FP32, as TRL loads them; then its BF16 adapters."""
    row = rows()["qlora"]
    base = row.parts[0].bytes
    scales = LINEARS // 64 + 4 * sum(4 * (-(-size // 16384) + 1) * count for size, count in SIZES.items())
    assert base == LINEARS // 2 + scales + 4 * (PHI - LINEARS)
    assert row.gap[0].bytes == base - row.rule_bytes
    assert sum(part.bytes for part in row.gap) == row.exact_bytes - row.rule_bytes
    assert row.exact_bytes == base + 2 * ADAPTERS * (1 + 2 + 1)


SIZES = {256 * 256: 2, 128 * 256: 2, 704 * 256: 3}  # elements of a layer's matrices, and how many there are


def test_what_lives_only_while_the_step_runs() -> None:
    """Activations and logits at their largest, with the moment; and what lies outside live tensors."""
    row = rows()["full-bf16"]
    labels = [part.label for part in row.dynamic]
    assert "activations, at most" in labels
    assert "logits/loss, at most" in labels
    assert labels[-2:] == ["CUDA context", "library handles and loaded kernels"]
    assert all(part.bytes > 0 for part in row.dynamic)
    assert row.left_out == (*row.gap, *row.dynamic)
    activations = row.dynamic[labels.index("activations, at most")]
    named = activations.formula.removeprefix("at: ")
    (instant,) = [one for one in row.forecast.instants if one.name == named]
    assert activations.bytes == sum(t.bytes for t in instant.terms if t.category == "activations")


def test_options_hold_where_they_apply() -> None:
    """A rank is for adapters, a base format for QLoRA; a batch is for all."""
    found = rows(lora_rank=4, lora_targets="attention", lora_dropout=0.1, base_format="nf4", micro_batch=3, dora=False)
    runs = [row.forecast.run for row in found.values() if isinstance(row.forecast.run, TrainRun)]
    assert [run.micro_batch for run in runs] == [3, 3, 3, 3]
    assert [run.adapter.rank if run.adapter else None for run in runs] == [None, None, 4, 4]
    assert [run.quantization.format.name if run.quantization else None for run in runs] == [None, None, None, "nf4"]


def test_a_model_by_name() -> None:
    """A name is resolved once for all four."""
    assert {row.parameters for row in compare_methods("8B")} == {8 * 10**9}
