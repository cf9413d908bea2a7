"""What the readers of mixtures and of latent attention refuse."""

from typing import Any

import pytest

from tests.dev.moe_configs import BASE, CASES
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.sources.read import read_config

OTHER_NAMES = {
    ("dbrx", "hidden_size"): ("d_model",),
    ("deepseek_v4", "moe_intermediate_size"): ("intermediate_size",),
}


def read(model_type: str, *without: str, **changes: Any) -> None:
    """Read the tiny model of a type, without some keys and with others changed."""
    config = BASE | CASES[model_type][0] | {"model_type": model_type} | changes
    read_config({key: value for key, value in config.items() if key not in without}, "tiny")


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("mixtral", "intermediate_size"),
        ("mixtral", "num_attention_heads"),
        ("qwen3_moe", "moe_intermediate_size"),
        ("qwen3_moe", "num_hidden_layers"),
        ("deepseek_v3", "n_routed_experts"),
        ("deepseek_v3", "num_experts_per_tok"),
        ("deepseek_v3", "kv_lora_rank"),
        ("deepseek_v3", "q_lora_rank"),
        ("deepseek_v3", "v_head_dim"),
        ("deepseek_v4", "moe_intermediate_size"),
        ("deepseek_v4", "q_lora_rank"),
        ("gpt_oss", "vocab_size"),
        ("dbrx", "hidden_size"),
        ("longcat_flash", "num_layers"),
        ("ernie4_5_moe", "moe_num_experts"),
        ("hunyuan_v1_moe", "num_experts"),
    ],
)
def test_a_missing_size_is_named(model_type: str, key: str) -> None:
    """Sizes that every published config states have no default."""
    with pytest.raises(InputError, match=f"config has no `{key}`"):
        read(model_type, key, *OTHER_NAMES.get((model_type, key), ()))


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("mixtral", {"num_experts_per_tok": 7}, "cannot visit 7 of 6 experts"),
        ("deepseek_v3", {"num_experts_per_tok": 7}, "cannot visit 7 of 6 experts"),
        ("dbrx", {"ffn_config": {"moe_top_k": 5}}, "cannot visit 5 of 4 experts"),
        ("mixtral", {"num_local_experts": 0}, "`num_local_experts` must be"),
        ("mixtral", {"num_key_value_heads": 3}, "3 key/value heads do not divide 4 heads"),
        ("dbrx", {"attn_config": {"kv_n_heads": 3}}, "3 key/value heads do not divide 4 heads"),
        ("laguna", {"num_attention_heads_per_layer": [4, 4, 4]}, "lists 3 of 4 layers"),
        ("laguna", {"num_attention_heads_per_layer": [4, 4, 4, 3]}, "2 key/value heads do not divide 3 heads"),
        ("step3p5", {"num_sliding_attention_heads": 3}, "2 key/value heads do not divide 3 heads"),
        ("qwen3_moe", {"decoder_sparse_step": 0}, "`decoder_sparse_step` must be"),
        ("qwen2_moe", {"mlp_only_layers": "0"}, "`mlp_only_layers` must be"),
        ("axk1", {"moe_layer_freq": 0}, "`moe_layer_freq` must be"),
        ("afmoe", {"global_attn_every_n_layers": 0}, "`global_attn_every_n_layers` must be"),
        ("exaone_moe", {"sliding_window_pattern": "LLLG"}, "`sliding_window_pattern` must be"),
        ("llama4_text", {"interleave_moe_layer_step": 0}, "`interleave_moe_layer_step` must be"),
        ("llama4_text", {"no_rope_layers": [1, 0]}, "`no_rope_layers` lists 2 layers, the model has 4"),
        ("llama4_text", {"layer_types": ["sliding_attention"] * 4}, "chunked_attention or full_attention"),
        ("glm4_moe_lite", {"mlp_layer_types": ["dense"]}, "`mlp_layer_types` lists 1 layers, the model has 4"),
        ("hy_v3", {"mlp_layer_types": ["dense", "wet", "dense", "dense"]}, "dense or sparse everywhere"),
        ("hunyuan_v1_moe", {"moe_topk": [1, 2, 0, 1]}, "at least one expert"),
        ("hunyuan_v1_moe", {"moe_topk": [1, 2]}, "each of 4 layers"),
        ("deepseek_v32", {"q_lora_rank": None}, "config has no `q_lora_rank`"),
        ("glm_moe_dsa", {"index_topk_pattern": "FSX"}, "F or S for each of 4 layers"),
        ("glm_moe_dsa", {"indexer_types": ["full"]}, "`indexer_types` lists 1 layers"),
        ("deepseek_v4", {"o_groups": 7}, "7 output groups do not divide 4 heads of 24"),
        ("deepseek_v4", {"compress_ratios": [0, 4, 128]}, "0, 4 or 128 for each of 5 layers"),
        ("deepseek_v4", {"compress_ratios": [0, 4, 128, 3, 0]}, "0, 4 or 128 for each of 5 layers"),
        ("mistral_large4_text", {"kv_source_layers": [0, 2, 2, 3]}, "itself or an earlier layer"),
        ("mistral_large4_text", {"kv_source_layers": [0, 0, 1, 3]}, "itself or an earlier layer"),
        ("step3p5", {"moe_layers_enum": "1,two"}, "layer numbers with commas"),
        ("minimax_m3_vl_text", {"moe_layer_freq": [1]}, "`moe_layer_freq` lists 1 layers"),
    ],
)
def test_what_cannot_be_is_refused(model_type: str, changes: dict[str, Any], message: str) -> None:
    """More experts than there are, heads that do not divide, lists of another length, steps of nothing."""
    with pytest.raises(InputError, match=message):
        read(model_type, **changes)


def test_sizes_by_layer_are_not_modelled() -> None:
    """A config that transformers saved spells out dots.note's sliding sizes layer by layer."""
    with pytest.raises(UnsupportedError, match="per_layer_config"):
        read("dots3_note_text", per_layer_config={"02": {"kv_lora_rank": 36}})
