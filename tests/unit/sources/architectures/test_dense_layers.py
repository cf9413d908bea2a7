"""What the readers say about layers beyond their weights: windows, heads, positions, blocks, dropout."""

from typing import Any

import pytest

from tests.dev.dense_configs import CASES, GPT, LLAMA, PLAIN, TINY
from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec, run_length
from vramcast.domain.norm import NormKind
from vramcast.sources.read import read_config


def read(model_type: str, base: dict[str, Any], **changes: Any) -> ModelSpec:
    """The tiny model of a type."""
    return read_config({"model_type": model_type, **base, **changes}, "tiny")


def mixers(model: ModelSpec) -> list[Attention]:
    """The attention of every layer."""
    found = [layer.mixer for layer in model.iter_layers()]
    assert all(isinstance(mixer, Attention) for mixer in found)
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def windows(model: ModelSpec) -> list[int | None]:
    """The window of every layer."""
    return [mixer.window for mixer in mixers(model)]


def first(model: ModelSpec) -> Layer:
    """The first layer."""
    return model.layers[0].layer


@pytest.mark.parametrize(("model_type", "options"), TINY, ids=str)
def test_layers_are_run_length_encoded(model_type: str, options: dict[str, Any]) -> None:
    """No two runs in a row hold the same layer, however a mix was built."""
    model = read(model_type, options)
    assert run_length(model.iter_layers()) == model.layers


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("mistral", {}, [4096] * 7),
        ("mistral", {"sliding_window": None}, [None] * 7),
        ("qwen2", {"sliding_window": 9}, [None] * 7),
        ("qwen2", {"sliding_window": 9, "use_sliding_window": True, "max_window_layers": 5}, [None] * 5 + [9, 9]),
        ("gemma2", {"sliding_window": 9}, [9, None, 9, None, 9, None, 9]),
        ("gemma3_text", {"sliding_window": 9}, [9, 9, 9, 9, 9, None, 9]),
        ("gemma3_text", {"sliding_window": 9, "sliding_window_pattern": 2}, [9, None, 9, None, 9, None, 9]),
        ("gemma3_text", {"sliding_window": 9, "use_bidirectional_attention": True}, [5, 5, 5, 5, 5, None, 5]),
        ("gemma4_text", {"sliding_window": 9}, [9, 9, 9, 9, 9, None, None]),
        ("cohere2", {"sliding_window": 9}, [9, 9, 9, None, 9, 9, 9]),
        ("olmo3", {"sliding_window": 9}, [9, 9, 9, None, 9, 9, 9]),
        ("exaone4", {"sliding_window": 9}, [9, 9, 9, None, 9, 9, 9]),
        ("exaone4", {"sliding_window": 9, "sliding_window_pattern": "LG"}, [9, None, 9, None, 9, None, 9]),
        ("exaone4", {"sliding_window": None}, [None] * 7),
        ("cwm", {"sliding_window": 9}, [None, 9, 9, 9, None, 9, 9]),
        ("phi3", {"sliding_window": 9}, [9] * 7),
        ("llama", {"sliding_window": 9}, [None] * 7),
    ],
)
def test_windows_follow_the_family_rule(model_type: str, changes: dict[str, Any], expected: list[int | None]) -> None:
    """A config without `layer_types` means the pattern that its family has always had."""
    assert windows(read(model_type, LLAMA, **changes)) == expected


def test_layer_types_win_over_the_rule() -> None:
    """Where the config lists the kinds of its layers, the list is the truth."""
    kinds = ["full_attention"] * 6 + ["sliding_attention"]
    assert windows(read("gemma2", LLAMA, layer_types=kinds, sliding_window=9)) == [None] * 6 + [9]


def test_gpt_neo_keeps_every_token_in_local_layers() -> None:
    """Its local layers mask their scores but cache everything."""
    base, _ = CASES["gpt_neo"]
    assert windows(read("gpt_neo", base)) == [None] * 4


@pytest.mark.parametrize(
    ("model_type", "base", "changes", "kv_heads"),
    [
        ("mistral", LLAMA, {"num_key_value_heads": None}, 4),
        ("llama", PLAIN, {}, 4),
        ("gpt_bigcode", GPT, {}, 1),
        ("gpt_bigcode", GPT, {"multi_query": False}, 4),
        ("falcon", PLAIN, {}, 1),
        ("falcon", PLAIN, {"multi_query": False}, 4),
        ("falcon", PLAIN, {"new_decoder_architecture": True, "num_kv_heads": 2}, 2),
        ("persimmon", PLAIN, {}, 4),
    ],
)
def test_key_value_heads(model_type: str, base: dict[str, Any], changes: dict[str, Any], kv_heads: int) -> None:
    """Multi-query keeps one head, null means as many as heads."""
    assert {mixer.kv_heads for mixer in mixers(read(model_type, base, **changes))} == {kv_heads}


@pytest.mark.parametrize(
    ("model_type", "changes", "rotary"),
    [
        ("cohere2", {}, [True, True, True, False, True, True, True]),
        ("smollm3", {}, [True, True, True, False, True, True, True]),
        ("smollm3", {"no_rope_layers": [0, 1, 1, 1, 1, 1, 1]}, [False] + [True] * 6),
        ("exaone4", {}, [True, True, True, False, True, True, True]),
        ("exaone4", {"sliding_window": None}, [True] * 7),
        ("granite_swa", {"layer_rope_theta": [0, 1e4, 1e4, 1e4, 1e4, 1e4, 1e4]}, [False] + [True] * 6),
    ],
)
def test_layers_without_positions(model_type: str, changes: dict[str, Any], rotary: list[bool]) -> None:
    """Some families leave rotary embeddings out of some layers."""
    assert [mixer.rotary for mixer in mixers(read(model_type, LLAMA, **changes))] == rotary


@pytest.mark.parametrize(
    ("model_type", "positions"), [("gpt2", 77), ("gpt_bigcode", 77), ("openai-gpt", 77), ("gptj", 0), ("codegen", 0)]
)
def test_learned_positions(model_type: str, positions: int) -> None:
    """GPT-2 learns a row for every position, GPT-J rotates."""
    model = read(model_type, GPT)
    assert model.positions == positions
    assert mixers(model)[0].rotary == (positions == 0)


def test_opt_has_two_rows_more_than_positions() -> None:
    """OPT's table starts two rows before its first position."""
    assert read("opt", CASES["opt"][0], max_position_embeddings=50).positions == 52


@pytest.mark.parametrize("model_type", ["bloom", "mpt"])
def test_alibi_does_not_rotate(model_type: str) -> None:
    """BLOOM and MPT bias their scores instead."""
    assert not mixers(read(model_type, CASES[model_type][0]))[0].rotary


def test_falcon_rotates_unless_it_uses_alibi() -> None:
    """Falcon-RW is the one with ALiBi."""
    assert mixers(read("falcon", PLAIN))[0].rotary
    assert not mixers(read("falcon", PLAIN, alibi=True))[0].rotary


@pytest.mark.parametrize(
    ("model_type", "base", "changes", "parallel"),
    [
        ("gptj", GPT, {}, True),
        ("phi", LLAMA, {}, True),
        ("cohere", LLAMA, {}, True),
        ("gpt_neox", PLAIN, {}, True),
        ("gpt_neox", PLAIN, {"use_parallel_residual": False}, False),
        ("falcon", PLAIN, {}, True),
        ("falcon", PLAIN, {"parallel_attn": False}, False),
        ("stablelm", LLAMA, {"use_parallel_residual": True}, True),
        ("llama", LLAMA, {}, False),
    ],
)
def test_parallel_blocks(model_type: str, base: dict[str, Any], changes: dict[str, Any], parallel: bool) -> None:
    """Attention and feed-forward part read the same input in some families."""
    assert first(read(model_type, base, **changes)).parallel is parallel


@pytest.mark.parametrize(
    ("model_type", "base", "changes", "dropout"),
    [
        ("gpt2", GPT, {}, Dropout(embedding=0.1, attention=0.1, residual=0.1)),
        ("gpt2", GPT, {"resid_pdrop": 0, "attn_pdrop": 0.2}, Dropout(embedding=0.1, attention=0.2)),
        ("seed_oss", LLAMA, {}, Dropout(attention=0.1, residual=0.1)),
        ("llama", LLAMA, {"attention_dropout": 0.3}, Dropout(attention=0.3)),
        ("ernie4_5", LLAMA, {"attention_dropout": 0.3}, Dropout()),
        ("gpt_neox", PLAIN, {"hidden_dropout": 0.2}, Dropout(embedding=0.2, residual=0.2)),
    ],
)
def test_dropout(model_type: str, base: dict[str, Any], changes: dict[str, Any], dropout: Dropout) -> None:
    """Probabilities come from the family's own keys and defaults."""
    assert read(model_type, base, **changes).dropout == dropout


@pytest.mark.parametrize(
    ("model_type", "changes", "caps", "floats"),
    [
        ("gemma2", {}, True, False),
        ("gemma2", {"final_logit_softcapping": None}, False, False),
        ("gemma3_text", {}, False, False),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, True, False),
        ("nanochat", {}, True, False),
        ("mllama_text_model", {}, False, True),
        ("llama", {}, False, False),
    ],
)
def test_logits_that_the_model_itself_caps_or_floats(
    model_type: str, changes: dict[str, Any], caps: bool, floats: bool
) -> None:
    """A cap on the logits counts, null takes it away; some models turn logits to FP32 by themselves."""
    model = read(model_type, LLAMA, **changes)
    assert (model.logits_capped, model.logits_upcast) == (caps, floats)


def test_gemma_2_caps_its_scores_and_gemma_3_does_not() -> None:
    """A soft cap on attention scores rules kernels out."""
    assert mixers(read("gemma2", LLAMA))[0].softcap
    assert not mixers(read("gemma2", LLAMA, attn_logit_softcapping=None))[0].softcap
    assert not mixers(read("gemma3_text", LLAMA))[0].softcap


def test_gemma_4_shares_keys_and_values_in_its_last_layers() -> None:
    """A sharing layer has neither projections nor a cache, and a wider feed-forward part where the config asks."""
    model = read("gemma4_text", LLAMA, num_hidden_layers=13, num_kv_shared_layers=6, use_double_wide_mlp=True)
    assert [mixer.shares_kv for mixer in mixers(model)] == [False] * 7 + [True] * 6
    widths = [layer.ffn.width for layer in model.iter_layers() if isinstance(layer.ffn, Dense)]
    assert widths == [160] * 7 + [320] * 6


def test_gemma_4_full_layers_have_heads_of_their_own() -> None:
    """Full layers are wider in the head and may use keys as values; sliding layers never do."""
    model = read("gemma4_text", LLAMA, attention_k_eq_v=True, num_global_key_value_heads=1)
    sliding, full = mixers(model)[0], mixers(model)[5]
    assert (sliding.head_dim, sliding.kv_heads, sliding.value_is_key) == (256, 2, False)
    assert (full.head_dim, full.kv_heads, full.value_is_key) == (512, 1, True)


def test_gemma_4_runs_its_dense_part_beside_the_experts() -> None:
    """What stays dense is the mixture's shared expert: it runs for every token."""
    experts = {"enable_moe_block": True, "num_experts": 6, "top_k_experts": 2, "moe_intermediate_size": 24}
    ffn = first(read("gemma4_text", LLAMA, **experts)).ffn
    assert isinstance(ffn, MixtureOfExperts)
    assert ffn.shared == Dense(width=160, activation="gelu_pytorch_tanh")


def test_gemma_4_only_looks_its_per_layer_embeddings_up() -> None:
    """The table that serves every layer is not multiplied, so it is not active."""
    model = read("gemma4_text", LLAMA, vocab_size_per_layer_input=300, tie_word_embeddings=True)
    assert model.parameters - model.active_parameters == 300 * 256 * 7


def test_gemma_3n_runs_four_streams() -> None:
    """AltUp keeps four residual streams."""
    assert first(read("gemma3n_text", LLAMA, num_kv_shared_layers=0)).streams == 4


def test_llama_3_2_vision_passes_text_by_its_cross_attention() -> None:
    """Its cross-attention layers are weights that text does not run."""
    model = read("mllama_text_model", LLAMA, cross_attention_layers=[2])
    assert [layer.mixer is None for layer in model.iter_layers()] == [False, False, True] + [False] * 4
    assert model.notes


def test_qk_norms_are_one_for_query_and_one_for_key() -> None:
    """OLMo 2 norms the whole query, Qwen 3 each head."""
    assert [norm.width for norm in mixers(read("olmo2", LLAMA))[0].qk_norms] == [64, 32]
    assert [norm.width for norm in mixers(read("qwen3", LLAMA))[0].qk_norms] == [128, 128]
    assert {norm.kind for norm in mixers(read("stablelm", LLAMA, qk_layernorm=True))[0].qk_norms} == {NormKind.LAYER}
