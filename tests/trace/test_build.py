"""The bytes of a model that is traced: parameters, buffers, adapters, and what its number formats make of them."""

from collections import Counter
from typing import Any

import pytest

from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Adapter, Method, Precision, ServeRun, TrainRun
from vramcast.trace.forecast import trace_run

H, M, V, D, KV, L = 64, 96, 128, 16, 2, 3  # width, of the MLP, entries, of a head, key heads, layers
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": H,
    "intermediate_size": M,
    "vocab_size": V,
    "num_attention_heads": H // D,
    "num_key_value_heads": KV,
    "num_hidden_layers": L,
    "tie_word_embeddings": False,
}
ATTENTION = 2 * H * H + 2 * H * KV * D
MLP = 3 * H * M
LINEAR = L * (ATTENTION + MLP)
NORMS = (2 * L + 1) * H
FREQUENCIES = 2 * D // 2 * 4  # FP32, as computed and as first computed


def resident(config: dict[str, Any], run: TrainRun | ServeRun) -> Counter[str]:
    """Bytes of parameters and buffers by module, layer numbers and PEFT's wrappings left out."""
    found: Counter[str] = Counter()
    for block in trace_run(config, run, find_stack("torch"), None).timeline.blocks:
        if block.category is Category.PARAMETERS and block.phase is Phase.LOAD:
            parts = block.module.removeprefix("base_model.model.").removeprefix("model.").split(".")
            found[".".join(part for part in parts if not part.isdigit() and part != "base_layer")] += block.bytes
    return found


def run(**how: Any) -> TrainRun:
    """One sequence of four tokens."""
    return TrainRun(seq_len=4, **how)


@pytest.mark.parametrize(
    ("precision", "item"),
    [
        (Precision.BF16, 2),
        (Precision.FP16, 2),
        (Precision.FP32, 4),
        (Precision.AMP_BF16, 4),
        (Precision.MASTER_BF16, 2),
    ],
)
def test_weights_in_their_format(precision: Precision, item: int) -> None:
    """Embedding, head, linears and norms; the frequencies of rotary embeddings are FP32 always."""
    assert resident(LLAMA, run(precision=precision)) == {
        "embed_tokens": item * V * H,
        "lm_head": item * V * H,
        "layers.self_attn.q_proj": item * L * H * H,
        "layers.self_attn.o_proj": item * L * H * H,
        "layers.self_attn.k_proj": item * L * H * KV * D,
        "layers.self_attn.v_proj": item * L * H * KV * D,
        **{f"layers.mlp.{name}_proj": item * L * H * M for name in ("gate", "up", "down")},
        "layers.input_layernorm": item * L * H,
        "layers.post_attention_layernorm": item * L * H,
        "norm": item * H,
        "rotary_emb": FREQUENCIES,
    }


@pytest.mark.parametrize("folded_layers", [L, 20])
def test_tied_weights_are_there_once(folded_layers: int) -> None:
    """The head is the embedding, whether or not layers are left out."""
    config = LLAMA | {"tie_word_embeddings": True, "num_hidden_layers": folded_layers}
    found = resident(config, run())
    assert found["embed_tokens"] + found["lm_head"] == 2 * V * H
    whole = folded_layers * (ATTENTION + MLP + 2 * H) + H + V * H
    assert found.total() == 2 * whole + FREQUENCIES


def test_adapters_beside_frozen_weights() -> None:
    """A of rank x in and B of out x rank, in FP32 beside BF16 weights, or as the weights are."""
    rank = 8
    shapes = [(H, H), (H, KV * D), (H, KV * D), (H, H)]
    numbers = L * rank * sum(into + out for into, out in shapes)
    for fp32, item in ((True, 4), (False, 2)):
        adapter = Adapter(rank=rank, targets=("attention",), fp32=fp32)
        found = resident(LLAMA, run(method=Method.LORA, adapter=adapter))
        assert sum(size for name, size in found.items() if "lora_" in name) == item * numbers
        assert found.total() == item * numbers + 2 * (LINEAR + NORMS + 2 * V * H) + FREQUENCIES


def test_magnitudes_of_dora() -> None:
    """One number for each row of an adapted matrix, in the adapters' format."""
    adapter = Adapter(rank=4, targets=("down_proj",), dora=True)
    found = resident(LLAMA, run(method=Method.LORA, adapter=adapter))
    assert {name: size for name, size in found.items() if "lora" in name} == {
        "layers.mlp.down_proj.lora_A.default": 4 * L * 4 * M,
        "layers.mlp.down_proj.lora_B.default": 4 * L * 4 * H,
        "layers.mlp.down_proj.lora_magnitude_vector.default": 4 * L * H,
    }


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_masks_of_adapters_dropout(fraction: float) -> None:
    """A byte for each number that goes into an adapter, kept from the forward pass; none without dropout."""
    adapter = Adapter(targets=("q_proj", "down_proj"), dropout=fraction)
    how = run(method=Method.LORA, adapter=adapter)
    record = trace_run(LLAMA, how, find_stack("torch"), None).timeline
    masks = Counter(
        block.bytes
        for block in record.blocks
        if block.operator == "aten.native_dropout.default" and block.bytes in {4 * H, 4 * M}
    )
    assert masks == ({4 * H: 2 * L, 4 * M: 2 * L} if fraction else {})  # of four tokens, in two steps
