"""Quantised weights of a traced model, storage by storage against bitsandbytes' own layers with real numbers."""

from collections import Counter
from typing import Any

import bitsandbytes as bnb
import pytest
import torch

from tests.trace.test_build import ATTENTION, LLAMA, MLP, NORMS, D, H, L, M, V, resident, run
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Adapter, Method, Quantization, TrainRun
from vramcast.trace.forecast import trace_run

FORMATS = ("nf4", "nf4-dq", "fp4", "fp4-dq")
TARGETS = Adapter(rank=4, targets=("q_proj",))


def qlora(name: str, *, upcast: bool = False) -> TrainRun:
    """Four tokens, adapters of rank 4 on queries."""
    return run(method=Method.QLORA, adapter=TARGETS, quantization=Quantization(format=find_format(name), upcast=upcast))


def storages(record: Any, module: str) -> list[int]:
    """Bytes of what a module has from the start, the smallest first."""
    return sorted(
        block.bytes
        for block in record.blocks
        if block.module.endswith(module) and block.category is Category.PARAMETERS and block.phase is Phase.LOAD
    )


def real(rows: int, columns: int, name: str) -> list[int]:
    """Bytes of the storages of a real 4-bit layer, the smallest first."""
    layer = bnb.nn.Linear4bit(
        columns,
        rows,
        bias=False,
        quant_type=name.removesuffix("-dq"),
        compress_statistics=name.endswith("-dq"),
        compute_dtype=torch.bfloat16,
    ).to(torch.bfloat16)
    state = layer.to("cpu").weight.quant_state
    nested = state.state2
    tensors = [layer.weight, state.absmax, state.code]
    tensors += [state.offset, nested.absmax, nested.code] if nested else []
    return sorted(tensor.untyped_storage().nbytes() for tensor in tensors)


@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_has_the_storages_of_a_real_one(name: str) -> None:
    """Packed values, scales, code tables, and the second scales of double quantisation."""
    record = trace_run(LLAMA, qlora(name), find_stack("torch"), None).timeline
    for module, shape in (
        ("layers.0.self_attn.q_proj.base_layer", (H, H)),
        ("layers.2.self_attn.v_proj", (H // 2, H)),
        ("layers.1.mlp.down_proj", (H, M)),
    ):
        assert storages(record, module) == real(*shape, name)


def test_what_is_not_quantised() -> None:
    """Embedding, head and norms stay in BF16; with preparation for k-bit training all of it is FP32."""
    kept = {"embed_tokens": V * H, "lm_head": V * H, "norm": H, "layers.input_layernorm": L * H}
    for upcast, item in ((False, 2), (True, 4)):
        found = resident(LLAMA, qlora("nf4", upcast=upcast))
        assert {name: found[name] for name in kept} == {name: item * numbers for name, numbers in kept.items()}
        assert found["layers.mlp.up_proj"] == L * (M * H // 2 + M * H // 64 * 4 + 16 * 4)


@pytest.mark.parametrize(("name", "layer"), [("nf4", 64), ("nf4-dq", 64 + 1024 + 4)])
def test_the_whole_of_a_quantised_model(name: str, layer: int) -> None:
    """Half a byte a value and the format's scales; `layer` bytes of tables and offset for each of seven a layer."""
    linears = [(H, H), (H, H), (H // 2, H), (H // 2, H), (M, H), (M, H), (H, M)]
    assert sum(rows * columns for rows, columns in linears) == ATTENTION + MLP
    scale = {"nf4": lambda n: n // 64 * 4, "nf4-dq": lambda n: n // 64 + -(-n // 64 // 256) * 4}[name]
    quantised = sum(r * c // 2 + scale(r * c) + layer for r, c in linears)
    adapters = 4 * L * 4 * (H + H)
    assert resident(LLAMA, qlora(name)).total() == L * quantised + adapters + 2 * (2 * V * H + NORMS) + 4 * D


def test_experts_in_one_tensor_are_not_quantised() -> None:
    """bitsandbytes replaces linear layers; three-dimensional experts stay in BF16."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": D}
    record = trace_run(LLAMA | experts | {"model_type": "qwen3_moe"}, qlora("nf4"), find_stack("torch"), None).timeline
    sizes = Counter(storages(record, "layers.0.mlp.experts"))
    assert sizes == {2 * 4 * 2 * 32 * H: 1, 2 * 4 * H * 32: 1}
