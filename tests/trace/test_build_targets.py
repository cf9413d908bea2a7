"""Which layers get adapters, by the names that their family gives them, and what cannot be traced."""

from typing import Any

import pytest

from tests.trace.test_build import LLAMA, run
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import Adapter, AttentionKernel, Kernels, Method, Recompute, ServeRun, TrainRun
from vramcast.trace.build import build

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 128, "num_hidden_layers": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128},
    "phi3": SIZES | {"model_type": "phi3", "intermediate_size": 96, "pad_token_id": 0},
    "falcon": SIZES | {"model_type": "falcon"},
    "deepseek_v3": SIZES
    | {"model_type": "deepseek_v3", "num_key_value_heads": 4, "intermediate_size": 96, "first_k_dense_replace": 2}
    | {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8},
    "opt": SIZES | {"model_type": "opt", "ffn_dim": 96, "word_embed_proj_dim": 64},
}
Q, K, V, OUT = (f"self_attn.{name}_proj" for name in "qkvo")
LATENT = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
GATE, UP, DOWN = (f"mlp.{name}_proj" for name in ("gate", "up", "down"))


def adapted(family: str, *targets: str) -> set[str]:
    """Paths within the first layer of what has an adapter."""
    model = build(FAMILIES[family], run(method=Method.LORA, adapter=Adapter(targets=targets))).model
    paths = {name.rpartition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    first = {path.partition(".0.")[2] for path in paths if ".0." in path}
    assert {path.partition(".1.")[2] for path in paths if ".1." in path} == first
    assert not {path for path in paths if ".0." not in path and ".1." not in path} or family == "llama"
    return first


@pytest.mark.parametrize(
    ("family", "targets", "expected"),
    [
        ("llama", ("attention",), {Q, K, V, OUT}),
        ("llama", ("mlp",), {GATE, UP, DOWN}),
        ("llama", ("attention", "mlp"), {Q, K, V, OUT, GATE, UP, DOWN}),
        ("llama", ("all-linear",), {Q, K, V, OUT, GATE, UP, DOWN}),
        ("llama", ("q_proj", "down_proj"), {Q, DOWN}),
        ("phi3", ("attention",), {"self_attn.qkv_proj", OUT}),
        ("phi3", ("mlp",), {"mlp.gate_up_proj", DOWN}),
        ("phi3", ("qkv_proj",), {"self_attn.qkv_proj"}),
        ("falcon", ("attention",), {"self_attention.query_key_value", "self_attention.dense"}),
        ("falcon", ("o_proj",), {"self_attention.dense"}),
        ("falcon", ("mlp",), {"mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}),
        ("falcon", ("query_key_value",), {"self_attention.query_key_value"}),
        ("gpt2", ("attention",), {"attn.c_attn", "attn.c_proj"}),
        ("gpt2", ("mlp",), {"mlp.c_fc", "mlp.c_proj"}),
        ("gpt2", ("o_proj",), {"attn.c_proj"}),
        ("gpt2", ("c_proj",), {"attn.c_proj", "mlp.c_proj"}),
        ("gpt2", ("all-linear",), {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
        ("deepseek_v3", ("attention",), {f"self_attn.{name}" for name in LATENT}),
        ("opt", ("mlp",), {"fc1", "fc2"}),
        ("opt", ("attention",), {Q, K, V, "self_attn.out_proj"}),
    ],
)
def test_adapted_layers(family: str, targets: tuple[str, ...], expected: set[str]) -> None:
    """Words, canonical names and the model's own names all mean its layers; the head has no adapter."""
    assert adapted(family, *targets) == expected


@pytest.mark.parametrize("target", ["wrong_proj", "attn", "lm-head"])
def test_targets_that_no_layer_has(target: str) -> None:
    """The answer names the layers that there are."""
    with pytest.raises(InputError) as caught:
        adapted("llama", target)
    assert target in caught.value.what
    assert "q_proj" in caught.value.hint


ERRORS: list[tuple[dict[str, Any], TrainRun, type[Exception], str, str]] = [
    (LLAMA | {"model_type": "nobody_knows"}, run(), UnsupportedError, "'nobody_knows'", "without --exact"),
    ({"hidden_size": 64}, run(), InputError, "no model_type", "config.json"),
    (LLAMA | {"model_type": 7}, run(), InputError, "no model_type", "config.json"),
    (LLAMA, run(kernels=Kernels.FUSED), UnsupportedError, "fused", "--kernels eager"),
    (LLAMA, run(recompute=Recompute.SELECTIVE), UnsupportedError, "attention core", "--recompute full"),
    (LLAMA | {"hidden_size": -64}, run(), InputError, "-64", "sizes"),
    (LLAMA | {"hidden_size": "wide"}, run(), InputError, "hidden_size", ""),
    (LLAMA | {"hidden_size": 65, "num_attention_heads": 4}, run(), InputError, "", ""),
    (LLAMA | {"num_attention_heads": 0}, run(), InputError, "", ""),
    (LLAMA | {"num_hidden_layers": 2, "layer_types": ["full_attention"]}, run(), InputError, "", ""),
    (LLAMA | {"hidden_act": "none such"}, run(), InputError, "none such", ""),
    (LLAMA | {"model_type": "vit"}, run(), UnsupportedError, "'vit'", ""),
]


@pytest.mark.parametrize(("config", "how", "kind", "what", "hint"), ERRORS)
def test_what_cannot_be_built(
    config: dict[str, Any], how: TrainRun, kind: type[Exception], what: str, hint: str
) -> None:
    """An error of ours that says what is wrong and what to do, never transformers' or torch's own."""
    with pytest.raises((InputError, UnsupportedError)) as caught:
        build(config, how)
    assert caught.type is kind
    assert what in caught.value.what
    assert caught.value.hint and hint in caught.value.hint


def test_a_served_model_evaluates_and_keeps_a_cache() -> None:
    """Without adapters, checkpointing or gradients to be had from dropout."""
    model = build(LLAMA, ServeRun(kv_format=find_format("bf16"))).model
    assert not model.training
    assert model.config.use_cache is True  # type: ignore[union-attr]


def test_attention_is_asked_for() -> None:
    """Eager code, FlashAttention's path through the model, or torch's own operator."""
    paths = {AttentionKernel.EAGER: "eager", AttentionKernel.FLASH: "standin_fa2", AttentionKernel.CUDNN: "sdpa"}
    for kernel, code in paths.items():
        model = build(LLAMA, run(attention=kernel)).model
        assert model.config._attn_implementation == code  # type: ignore[union-attr]
