"""Parameters of well-known mixtures, all of them and those that one token multiplies, from the facts of their configs."""

from typing import Any

import pytest

from tests.dev.moe_configs import BASE, CASES
from vramcast.sources.read import read_config


def facts(model_type: str, sizes: tuple[int, int, int, int, int, int], **more: Any) -> dict[str, Any]:
    """A config of vocabulary, hidden size, layers, heads, KV heads, MLP width, and what the family has beyond."""
    keys = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
    )
    return {"model_type": model_type, **dict(zip(keys, sizes, strict=True)), **more}


def latent(q_rank: int | None) -> dict[str, Any]:
    """The sizes of latent attention that DeepSeek V2, V3 and Kimi K2 share."""
    return {
        "kv_lora_rank": 512,
        "q_lora_rank": q_rank,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    }


def routed(key: str, experts: int, top_k: int, width: int | None = None) -> dict[str, int]:
    """Experts, how many a token visits, and their width where it is not the MLP's."""
    own = {} if width is None else {"moe_intermediate_size": width}
    return {key: experts, "num_experts_per_tok": top_k, **own}


OSS = {"head_dim": 64, "num_experts_per_tok": 4}
MIXTRAL_8X7B = facts("mixtral", (32000, 4096, 32, 32, 8, 14336), **routed("num_local_experts", 8, 2))
MIXTRAL_8X22B = facts("mixtral", (32000, 6144, 56, 48, 8, 16384), **routed("num_local_experts", 8, 2))
QWEN_MOE = facts(
    "qwen2_moe",
    (151936, 2048, 24, 16, 16, 5632),
    shared_expert_intermediate_size=5632,
    **routed("num_experts", 60, 4, 1408),
)
QWEN3_30B = facts("qwen3_moe", (151936, 2048, 48, 32, 4, 6144), head_dim=128, **routed("num_experts", 128, 8, 768))
QWEN3_235B = facts("qwen3_moe", (151936, 4096, 94, 64, 4, 12288), head_dim=128, **routed("num_experts", 128, 8, 1536))
OLMOE = facts("olmoe", (50304, 2048, 16, 16, 16, 1024), **routed("num_experts", 64, 8))
PHI_MOE = facts(
    "phimoe",
    (32064, 4096, 32, 32, 8, 6400),
    attention_bias=True,
    lm_head_bias=True,
    **routed("num_local_experts", 16, 2),
)
GPT_OSS_20B = facts("gpt_oss", (201088, 2880, 24, 64, 8, 2880), num_local_experts=32, **OSS)
GPT_OSS_120B = facts("gpt_oss", (201088, 2880, 36, 64, 8, 2880), num_local_experts=128, **OSS)
DEEPSEEK_V2 = facts(
    "deepseek_v2",
    (102400, 5120, 60, 128, 128, 12288),
    first_k_dense_replace=1,
    n_shared_experts=2,
    **latent(1536),
    **routed("n_routed_experts", 160, 6, 1536),
)
DEEPSEEK_V2_LITE = facts(
    "deepseek_v2",
    (102400, 2048, 27, 16, 16, 10944),
    first_k_dense_replace=1,
    n_shared_experts=2,
    **latent(None),
    **routed("n_routed_experts", 64, 6, 1408),
)
DEEPSEEK_V3 = facts(
    "deepseek_v3",
    (129280, 7168, 61, 128, 128, 18432),
    first_k_dense_replace=3,
    n_shared_experts=1,
    num_nextn_predict_layers=1,
    **latent(1536),
    **routed("n_routed_experts", 256, 8, 2048),
)
KIMI_K2 = facts(
    "kimi_k2",
    (163840, 7168, 61, 64, 64, 18432),
    first_k_dense_replace=1,
    n_shared_experts=1,
    **latent(1536),
    **routed("n_routed_experts", 384, 8, 2048),
)
DBRX: dict[str, Any] = {
    "model_type": "dbrx",
    "vocab_size": 100352,
    "d_model": 6144,
    "n_layers": 40,
    "n_heads": 48,
    "attn_config": {"kv_n_heads": 8},
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}
SCOUT = facts(
    "llama4_text",
    (202048, 5120, 48, 40, 8, 8192),
    head_dim=128,
    intermediate_size_mlp=16384,
    interleave_moe_layer_step=1,
    **routed("num_local_experts", 16, 1),
)
LONGCAT: dict[str, Any] = {
    "model_type": "longcat_flash",
    "vocab_size": 131072,
    "hidden_size": 6144,
    "num_layers": 28,
    "num_attention_heads": 64,
    "ffn_hidden_size": 12288,
    "expert_ffn_hidden_size": 2048,
    "n_routed_experts": 512,
    "moe_topk": 12,
    "zero_expert_num": 256,
    **latent(1536),
}


@pytest.mark.parametrize(
    ("config", "published"),
    [
        pytest.param(MIXTRAL_8X7B, 46_702_792_704, id="mixtral-8x7b"),
        pytest.param(MIXTRAL_8X22B, 140_620_634_112, id="mixtral-8x22b"),
        pytest.param(QWEN_MOE, 14_315_784_192, id="qwen1.5-moe-a2.7b"),
        pytest.param(QWEN3_30B, 30_532_122_624, id="qwen3-30b-a3b"),
        pytest.param(QWEN3_235B, 235_093_634_560, id="qwen3-235b-a22b"),
        pytest.param(OLMOE, 6_919_161_856, id="olmoe-1b-7b"),
        pytest.param(PHI_MOE, 41_873_153_344, id="phi-3.5-moe"),
        pytest.param(GPT_OSS_20B, 20_914_757_184, id="gpt-oss-20b"),
        pytest.param(GPT_OSS_120B, 116_829_156_672, id="gpt-oss-120b"),
        pytest.param(DEEPSEEK_V2, 235_741_434_880, id="deepseek-v2"),
        pytest.param(DEEPSEEK_V2_LITE, 15_706_484_224, id="deepseek-v2-lite"),
        pytest.param(DBRX, 131_596_523_520, id="dbrx"),
        pytest.param(SCOUT, 107_769_861_120, id="llama-4-scout"),
    ],
)
def test_counts_equal_the_published_ones(config: dict[str, Any], published: int) -> None:
    """Every parameter of the checkpoint is counted, to the last one."""
    assert read_config(config, "published").parameters == published


@pytest.mark.parametrize(
    ("config", "published", "corrections"),
    [
        pytest.param(DEEPSEEK_V3, 671_026_419_200, 58 * 256, id="deepseek-v3"),
        pytest.param(KIMI_K2, 1_026_408_232_448, 60 * 384, id="kimi-k2"),
    ],
)
def test_corrections_are_buffers(config: dict[str, Any], published: int, corrections: int) -> None:
    """Published counts include one correction for each expert of each mixture; in transformers it is no parameter."""
    assert read_config(config, "published").parameters + corrections == published


@pytest.mark.parametrize(
    ("config", "active"),
    [
        pytest.param(GPT_OSS_20B, 3.61, id="gpt-oss-20b"),
        pytest.param(GPT_OSS_120B, 5.13, id="gpt-oss-120b"),
    ],
)
def test_active_parameters_equal_the_published_ones(config: dict[str, Any], active: float) -> None:
    """gpt-oss's model card counts as we do: visited experts, the output head, but no table that is only looked up."""
    assert round(read_config(config, "published").active_parameters / 1e9, 2) == active


def test_active_parameters_of_mixtral() -> None:
    """The published 12.9 B are two of eight experts, and the token table."""
    model = read_config(MIXTRAL_8X7B, "published")
    idle = 32 * 6 * 3 * 4096 * 14336
    assert model.active_parameters == model.parameters - idle - 32000 * 4096
    assert round((model.active_parameters + 32000 * 4096) / 1e9, 1) == 12.9


def test_zero_experts_are_counted_as_built_and_never_active() -> None:
    """Without the rows that only transformers builds, LongCat-Flash has its published 560 B; a token multiplies 31.4 at most."""
    model = read_config(LONGCAT, "published")
    rows = 28 * 256 * 2 * 2048 * 6144
    assert (model.parameters - rows) // 10**9 == 560
    assert round(model.active_parameters / 1e9, 1) == 31.4


def test_experts_in_attention_are_idle_too() -> None:
    """JetMoE's attention has as many experts as its feed-forward part, and a token visits as many of both."""
    config = BASE | CASES["jetmoe"][0] | {"model_type": "jetmoe"}
    model = read_config(config, "tiny")
    one_expert = 3 * 64 * 96 + 2 * 64 * 2 * 24
    assert model.active_parameters == model.parameters - 500 * 64 - 4 * (6 - 2) * one_expert


@pytest.mark.parametrize("model_type", CASES)
def test_visiting_every_expert_leaves_nothing_idle(model_type: str) -> None:
    """With as many experts visited as there are, only looked-up tables and unread rows are not multiplied."""
    own = CASES[model_type][0]
    every = {"num_experts_per_tok": 6, "moe_topk": 6, "moe_k": 6, "zero_expert_num": 0}
    if "ffn_config" in own or model_type == "dbrx":
        every = {"ffn_config": {"moe_top_k": 4, "moe_num_experts": 4}}
    model = read_config(
        BASE | own | {"num_local_experts": 6, "moe_num_experts": 6} | every | {"model_type": model_type}, "tiny"
    )
    assert model.active_parameters == model.parameters - model.vocab_size * model.hidden_size
