"""FlashAttention's way through transformers' models: no masks, no repeated keys, the kernel's own limits."""

from typing import Any

import pytest
import torch

from tests.trace.test_build import LLAMA
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import AttentionKernel, Precision, TrainRun
from vramcast.trace.attention import attention_of
from vramcast.trace.build import build
from vramcast.trace.quantized import place
from vramcast.trace.session import tracing

T, B = 72, 2
WINDOWS: dict[str, Any] = LLAMA | {"model_type": "mistral", "sliding_window": 16}


def operators(
    config: dict[str, Any], kernel: AttentionKernel, precision: Precision = Precision.BF16
) -> list[tuple[str, int]]:
    """Operator and bytes of every storage that one forward and backward pass makes."""
    model = build(config, TrainRun(attention=kernel, precision=precision)).model
    with tracing() as recorder, attention_of((8, 0), kernel):
        place(model, recorder.device)
        began = len(recorder.timeline().blocks)
        tokens = torch.zeros(B, T, dtype=torch.long)
        model(input_ids=tokens, labels=tokens).loss.backward()
    return [(block.operator, block.bytes) for block in recorder.timeline().blocks[began:]]


def test_a_window_needs_no_mask() -> None:
    """Of a model with sliding windows, FlashAttention's path has no T × T mask and no keys repeated for it, SDPA's has."""
    layers, width = LLAMA["num_hidden_layers"], LLAMA["hidden_size"]
    flash = operators(WINDOWS, AttentionKernel.FLASH)
    masked = operators(WINDOWS, AttentionKernel.EFFICIENT)
    assert not [size for _, size in flash if size == T * T]
    assert [size for _, size in masked if size == T * T]
    repeated = "aten.clone.default", B * T * width * 2
    assert masked.count(repeated) - flash.count(repeated) == 2 * layers
    assert sum("flash_attention_backward" in name for name, _ in flash) == 3 * layers


def test_values_narrower_than_keys_are_padded() -> None:
    """The kernel has one width for keys and values; the output is cut."""
    own = {"q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
    deepseek = LLAMA | own | {"model_type": "deepseek_v3", "first_k_dense_replace": 3, "n_group": 1, "topk_group": 1}
    assert ("aten.constant_pad_nd.default", B * T * 4 * 24 * 2) in operators(deepseek, AttentionKernel.FLASH)


def test_flash_attention_has_no_fp32() -> None:
    """A model in FP32 is refused, where autocast casts its queries it is not."""
    with pytest.raises(UnsupportedError, match="no FP32"):
        operators(LLAMA, AttentionKernel.FLASH, Precision.FP32)


def test_a_family_with_code_of_its_own() -> None:
    """Where the code does not ask transformers for its attention, SDPA runs the kernel, or nothing can."""
    falcon = {
        "model_type": "falcon",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 128,
    }
    assert build(falcon, TrainRun(attention=AttentionKernel.FLASH)).model.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    bloom = {"model_type": "bloom", "hidden_size": 64, "n_head": 4, "n_layer": 2, "vocab_size": 128}
    with pytest.raises(UnsupportedError, match="no SDPA that could run flash"):
        build(bloom, TrainRun(attention=AttentionKernel.FLASH))
