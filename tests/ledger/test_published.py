"""The published rows: each is valid, has a source, and asks what its source says."""

import json
from collections import Counter

import pytest
from ledger.published.forecasts import MODELS, forecast_of, model_of, stacks
from ledger.published.page import NAMES, left_out
from ledger.published.row import Published, Tier, read_rows, row_of

from vramcast.app.options import NAMES as OPTIONS
from vramcast.catalog.gpus import find_device
from vramcast.domain.forecast import Engine
from vramcast.domain.run import Kernels, Loss, Method, Optimizer, Precision, Recompute
from vramcast.units import GIB, MIB

ROWS = read_rows()
BY_ID = {row.id: row for row in ROWS}


@pytest.mark.parametrize("source", sorted({row.group for row in ROWS}))
def test_rows_are_whole(source: str) -> None:
    """Each row names its source, a known stack, device and options, has a number or an outcome, and reasons for what it assumes."""
    for row in ROWS:
        if row.group == source:
            _check(row)


def _check(row: Published) -> None:
    assert row.source and row.published_model and row.certainty in {"A", "B", "C"}
    assert row.stack in stacks()
    assert not row.device or find_device(row.device)
    assert set(row.options) <= set(OPTIONS)
    assert not set(row.stated) & set(row.assumed)
    assert all(reason for _, reason in row.assumed.values())
    assert row.measured or row.device
    assert all(one.bytes > 0 and one.published and one.read_as for one in row.measured)


def test_ids_are_unique() -> None:
    """No measurement is counted twice, and none is both here and left out."""
    assert len(BY_ID) == len(ROWS)
    assert not {row["id"] for row in left_out()} & set(BY_ID)


def test_there_are_enough_rows() -> None:
    """At least 400 rows are here, and most of them say everything that is needed."""
    assert len(ROWS) >= 400
    assert Counter(row.certainty for row in ROWS)["A"] >= len(ROWS) // 2


def test_every_published_row_is_accounted_for() -> None:
    """Rows and what is left out add up to the 1,175 that were collected, each omission with its reason."""
    assert len(ROWS) + len(left_out()) == 1175
    assert all(row["reason"] and row["source"] for row in left_out())


def test_every_source_is_named() -> None:
    """Each group of rows has a line that says where it comes from, and no line is without rows."""
    assert set(json.loads(NAMES.read_text(encoding="utf-8"))) == {row.group for row in ROWS}


def test_every_model_of_the_ledger_is_used_and_has_a_source() -> None:
    """A config that the catalog lacks says where it is from, and some row needs it."""
    used = {row.model for row in ROWS}
    for path in MODELS.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["_source"]
        assert path.stem in used


def test_every_stack_is_used_and_has_a_source() -> None:
    """Each stack says what was read and when, and some row ran on it."""
    assert set(stacks()) == {row.stack for row in ROWS}
    assert all(stack.source and stack.checked for stack in stacks().values())


def test_a_full_fine_tuning_by_hand() -> None:
    """fms, line 12: Mistral 7B in pure bf16, 8 samples of 4,096 tokens, foreach AdamW, checkpointed; 67.46 GiB by torch."""
    row = BY_ID["fms-a100-l12"]
    run = forecast_of(row, Engine.RULES).run
    assert (run.method, run.precision, run.optimizer) == (Method.FULL, Precision.BF16, Optimizer.ADAMW_FOREACH)
    assert (run.micro_batch, run.seq_len, run.recompute, run.autocast) == (8, 4096, Recompute.FULL, False)
    assert row.certainty == "A" and row.complete
    assert [one.tier for one in row.measured] == [Tier.ALLOCATED, Tier.PROCESS]
    assert row.measured[0].bytes == pytest.approx(67.4566 * GIB, rel=1e-4)


def test_an_adapter_on_fused_kernels_by_hand() -> None:
    """fms with Liger: the loss is fused with the output projection, the norms are fused, rank 16 on attention."""
    run = forecast_of(BY_ID["fms-a100_liger-l14"], Engine.RULES).run
    assert (run.method, run.loss, run.kernels) == (Method.LORA, Loss.FUSED_LINEAR, Kernels.FUSED_NORMS)
    assert run.adapter.rank == 16
    assert run.adapter.targets == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert run.adapter.fp32 and run.autocast


def test_a_served_model_by_hand() -> None:
    """Qwen2.5 14B: a prompt of 14,336 tokens and 2,048 new ones in bf16; the page's GB are GiB, by its script."""
    row = BY_ID["q25-qwen2.5-14b-instruct-bf16-i14336"]
    run = forecast_of(row, Engine.RULES).run
    assert (run.max_model_len, run.max_num_seqs, run.prefill_tokens) == (16384, 1, 14336)
    assert row.measured[0].bytes == round(31.95 * GIB)


def test_decimal_gigabytes_by_hand() -> None:
    """litgpt prints bytes / 1e9: its 6.76 GB are 6.3 GiB."""
    row = BY_ID["litgpt-rt-lora-phi-1_5-none-mb2-g1"]
    assert row.measured[0].bytes == 6_760_000_000
    assert row.stated["lora_rank"] == 8 and row.stated["lora_targets"] == "q_proj,v_proj"


def test_a_shared_cache_by_hand() -> None:
    """A cache split over 4 devices is held against the whole: 2,209,792 tokens of Llama 3.1 8B, 4 times 67.44 GiB."""
    row = BY_ID["kv-llmd-meta-llama-llama-3-1-8b--tp4pp1dp1--8192"]
    assert row.mesh == {"tensor": 4} and row.part
    assert row.measured[0].bytes == 4 * round(67.44 * GIB)
    forecast = forecast_of(row, Engine.RULES)
    assert forecast.tiers.allocated > 2_209_792 * 32 * 2 * 8 * 128 * 2


def test_a_model_of_the_ledger_is_read_from_its_config() -> None:
    """Qwen 1 is not in the catalog; its config lies in the ledger. A model of the catalog goes by its name."""
    assert model_of(BY_ID["qwen1-7b-lora-s2048"]).endswith("qwen-7b.json")
    assert model_of(BY_ID["fms-a100-l12"]) == "mistral-7b"


def test_a_failed_run_has_an_outcome() -> None:
    """A run that failed has no number, and says so."""
    row = BY_ID["litgpt-rt-lora-llama-2-13b-none-mb2-g1"]
    assert row.failed and not row.measured


def test_an_unknown_field_is_refused() -> None:
    """A misspelt name in a row is an error, not an option that is silently left out."""
    with pytest.raises(TypeError, match="certain"):
        row_of({"certain": "A", "measured": [], "assumed": {}})


def test_sizes_are_read_to_the_unit() -> None:
    """What is printed as MiB is read as MiB."""
    nvidia_smi = BY_ID["fms-a100-l4"].measured[1]
    assert nvidia_smi.published.startswith("18102") and nvidia_smi.bytes == 18102 * MIB
