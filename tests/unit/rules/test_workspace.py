"""Workspaces, a step's own inputs, and the embedding's backward."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, TINY, model
from vramcast.catalog.gpus import find_device, free_form_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import TrainRun
from vramcast.rules.workspace import embedding_backward, gemm_workspace, step_inputs
from vramcast.units import GIB, KIB, MIB

LLAMA = model(LLAMA_8B)
V, D = 128256, 4096
RUN = TrainRun(seq_len=2048, micro_batch=3)


@pytest.mark.parametrize(
    ("device", "each", "exactness"),
    [
        (find_device("a100-80gb"), 8 * MIB + 128 * KIB, Exactness.EXACT),
        (find_device("rtx-4090"), 8 * MIB + 128 * KIB, Exactness.EXACT),
        (find_device("h100-80gb"), 32 * MIB, Exactness.EXACT),
        (find_device("b200"), 32 * MIB, Exactness.EXACT),
        (find_device("rtx-5090"), 32 * MIB, Exactness.EXACT),
        (None, 8 * MIB + 128 * KIB, Exactness.MODELLED),
        (free_form_device(24 * GIB), 8 * MIB + 128 * KIB, Exactness.MODELLED),
        (find_device("mi300x"), 8 * MIB + 128 * KIB, Exactness.MODELLED),
    ],
    ids=["A100", "4090", "H100", "B200", "5090", "none", "24 GiB", "MI300X"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_workspace_of_matrix_products(device: Device | None, each: int, exactness: Exactness, threads: int) -> None:
    """8.125 MiB a thread, 32 MiB from Hopper on; a figure taken for an unknown device is modelled."""
    term = gemm_workspace(device, find_stack("torch"), threads)
    assert (term.bytes, term.exactness) == (threads * each, exactness)
    assert (term.category, term.phase) == (Category.WORKSPACE, Phase.RESIDENT)


def test_newer_torch_takes_a_workspace_for_each_call() -> None:
    """One at a time, however many threads."""
    assert gemm_workspace(find_device("h100-80gb"), find_stack("torch@2.15"), 2).bytes == 32 * MIB


@pytest.mark.parametrize(
    ("spec", "turned"),
    [
        (LLAMA, 128),
        (
            model({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 99}),
            0,
        ),
        (model(TINY, head_dim=48), 48),
        (
            model(
                TINY,
                model_type="minicpm3",
                num_key_value_heads=8,
                q_lora_rank=32,
                kv_lora_rank=16,
                qk_nope_head_dim=24,
                qk_rope_head_dim=8,
            ),
            8,
        ),
        (model({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 99}), 0),
    ],
    ids=["llama", "learned positions", "wide heads", "latent", "no attention"],
)
def test_inputs_of_a_step(spec: ModelSpec, turned: int) -> None:
    """Three int64 tensors of B·T, positions of T, cosines and sines of T times what is turned of a head."""
    term = step_inputs(spec, RUN, 2)
    assert term.bytes == 3 * 8 * 3 * 2048 + 8 * 2048 + 2 * 2 * turned * 2048
    assert term.phase is Phase.RESIDENT


def test_rotary_tables_are_in_the_type_of_the_stream() -> None:
    """FP32 weights make FP32 tables; they do not grow with the batch."""
    small = step_inputs(LLAMA, replace(RUN, micro_batch=1), 4)
    assert small.bytes == 4 * 8 * 2048 + 2 * 4 * 128 * 2048


def test_embedding_backward_of_a_short_batch_needs_nothing_of_its_own() -> None:
    """Up to 3,072 tokens nothing is sorted; the dense gradient is among the gradients."""
    term = embedding_backward(LLAMA, 3072, 2, beside=False)
    assert (term.bytes, term.formula) == (0, "0")


def test_a_tied_head_has_its_gradient_already() -> None:
    """Then the embedding's own, dense as well, lies beside it until both are added."""
    assert embedding_backward(LLAMA, 100, 2, beside=True).bytes == 2 * V * D
    assert embedding_backward(LLAMA, 100, 4, beside=True).bytes == 4 * V * D


def test_embedding_backward_of_a_long_batch_sorts_its_tokens() -> None:
    """16,384 tokens: (1,638 + 16,384) FP32 rows of D, and five int64 arrays."""
    term = embedding_backward(LLAMA, 16384, 2, beside=False)
    assert term.bytes == (1638 + 16384) * 4096 * 4 + 5 * 8 * 16384
    assert embedding_backward(LLAMA, 16384, 2, beside=True).bytes == term.bytes + 2 * V * D


def test_there_are_no_more_partial_sums_than_words() -> None:
    """A vocabulary of 320 bounds the segments of 5,000 tokens."""
    assert embedding_backward(model(TINY), 5000, 2, beside=False).bytes == (500 + 320) * 256 * 4 + 5 * 8 * 5000


def test_embeddings_narrower_than_the_model() -> None:
    """OPT-350M looks up 512 elements and projects them to 1,024."""
    opt = replace(LLAMA, embedding_size=512)
    assert embedding_backward(opt, 100, 2, beside=True).bytes == 2 * V * 512
