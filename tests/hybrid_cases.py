"""Tiny configs of every recurrent and hybrid family, and of each of their options that adds parameters."""

from typing import Any

import pytest

BASE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "vocab_size": 500,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
TIED = {"tie_word_embeddings": True}
BIAS = {"attention_bias": True}
MAMBA1 = {"mamba_d_state": 8, "mamba_d_conv": 3, "mamba_expand": 3, "mamba_dt_rank": 5}
MAMBA1_CHANGES = [TIED, {"mamba_conv_bias": False}, {"mamba_proj_bias": True}, {"mamba_dt_rank": "auto"}]
MAMBA2 = {"mamba_d_state": 8, "mamba_d_conv": 3, "mamba_expand": 2, "mamba_n_heads": 8, "mamba_n_groups": 2}
MAMBA2_CHANGES = [
    TIED,
    {"mamba_conv_bias": False},
    {"mamba_proj_bias": True},
    {"mamba_d_head": 16},
    {"mamba_expand": 3},
    {"mamba_n_groups": 8},
]
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 20,
    "linear_conv_kernel_dim": 3,
}
EXPERTS = {
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "shared_expert_intermediate_size": 48,
}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
}

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "mamba": (
        {"state_size": 8, "expand": 3, "conv_kernel": 3, "time_step_rank": 5},
        [TIED, {"use_bias": True}, {"use_conv_bias": False}, {"time_step_rank": "auto"}, {"intermediate_size": 96}],
    ),
    "falcon_mamba": (
        {"state_size": 8, "expand": 3, "conv_kernel": 3, "time_step_rank": 5},
        [TIED, {"use_bias": True}, {"use_conv_bias": False}, {"time_step_rank": "auto"}, {"intermediate_size": 96}],
    ),
    "mamba2": (
        {"state_size": 8, "expand": 2, "conv_kernel": 3, "num_heads": 8, "head_dim": 16, "n_groups": 2},
        [TIED, {"use_bias": True}, {"use_conv_bias": False}, {"n_groups": 8}],
    ),
    "jamba": (
        ATTENTION | MAMBA1 | {"attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 4},
        [*MAMBA1_CHANGES, {"num_experts": 1}, {"head_dim": 24}, {"expert_layer_period": 3}],
    ),
    "zamba": (
        ATTENTION
        | MAMBA1
        | {"num_hidden_layers": 7, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_expand": 2},
        [
            *MAMBA1_CHANGES,
            {"n_mamba_heads": 4},
            {"attention_head_dim": 24},
            {"layers_block_type": ["hybrid", "mamba", "mamba", "hybrid", "hybrid", "mamba", "mamba"]},
        ],
    ),
    "zamba2": (
        ATTENTION
        | {"num_hidden_layers": 7, "num_key_value_heads": 4, "mamba_d_state": 8, "mamba_d_conv": 3, "adapter_rank": 6}
        | {"layers_block_type": ["mamba", "hybrid", "hybrid", "mamba", "hybrid", "hybrid", "hybrid"]},
        [
            TIED,
            {"add_bias_linear": True},
            {"num_mem_blocks": 2},
            {"num_mem_blocks": 9},
            {"use_shared_attention_adapter": True},
            {"use_shared_attention_adapter": True, "num_mem_blocks": 2},
            {"n_mamba_heads": 4, "mamba_ngroups": 2},
            {"num_key_value_heads": None},
            {"intermediate_size": None},
            {"layers_block_type": None, "num_hidden_layers": 54},
        ],
    ),
    "bamba": (
        ATTENTION | MAMBA2 | {"attn_layer_indices": [1, 3]},
        [*MAMBA2_CHANGES, BIAS, {"mlp_bias": True}, {"attn_layer_indices": None}, {"num_key_value_heads": None}],
    ),
    "granitemoehybrid": (
        ATTENTION
        | MAMBA2
        | {"layer_types": ["mamba", "attention", "linear_attention", "full_attention"], "shared_intermediate_size": 48}
        | {"num_local_experts": 6, "num_experts_per_tok": 2},
        [*MAMBA2_CHANGES, BIAS, {"num_local_experts": 0}, {"layer_types": None}, {"num_key_value_heads": None}],
    ),
    "falcon_h1": (
        ATTENTION | MAMBA2 | {"mamba_d_ssm": 96, "mamba_d_head": 12},
        [
            TIED,
            {"mamba_conv_bias": False},
            {"mamba_proj_bias": True},
            {"projectors_bias": True},
            {"mamba_rms_norm": True},
            {"mamba_d_ssm": None, "mamba_d_head": "auto"},
            {"mlp_bias": True},
            BIAS,
        ],
    ),
    "nemotron_h": (
        ATTENTION
        | {"ssm_state_size": 8, "mamba_num_heads": 6, "mamba_head_dim": 16, "n_groups": 2, "conv_kernel": 3}
        | {"head_dim": 24, "n_routed_experts": 6, "moe_intermediate_size": 40}
        | {"moe_shared_expert_intermediate_size": 56, "num_hidden_layers": 5}
        | {"layers_block_type": ["mamba", "moe", "attention", "mlp", "linear_attention"]},
        [
            TIED,
            {"use_bias": True},
            {"use_conv_bias": False},
            {"mlp_bias": True},
            {"moe_latent_size": 32},
            {"moe_latent_size": 32, "mlp_bias": True},
            {"layers_block_type": None, "hybrid_override_pattern": "MM-E*"},
            {"layers_block_type": None},
            {"num_nextn_predict_layers": 1},
        ],
    ),
    "recurrent_gemma": (
        ATTENTION
        | {"lru_width": 96, "conv1d_width": 3, "attention_window_size": 8, "block_types": ["recurrent", "attention"]},
        [TIED, BIAS, {"lru_width": None}, {"num_key_value_heads": None}],
    ),
    "rwkv": ({}, [TIED, {"attention_hidden_size": 96}, {"intermediate_size": 80}]),
    "lfm2": (
        ATTENTION | {"full_attn_idxs": [1, 3], "block_multiple_of": 16},
        [
            TIED,
            {"tie_embedding": True},
            {"conv_bias": True},
            {"conv_L_cache": 5},
            {"block_ff_dim": 120},
            {"block_ffn_dim_multiplier": 1.3},
            {"block_auto_adjust_ff_dim": False},
            {"full_attn_idxs": None},
            {"layer_types": ["conv", "full_attention", "conv", "conv"]},
        ],
    ),
    "lfm2_moe": (
        ATTENTION
        | {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "num_experts": 6, "num_dense_layers": 1}
        | {"num_experts_per_tok": 2, "moe_intermediate_size": 40},
        [TIED, {"tie_embedding": True}, {"conv_bias": True}, {"num_dense_layers": 4}, {"use_expert_bias": False}],
    ),
    "lfm3": (
        ATTENTION | {"num_hidden_layers": 6, "head_dim": 24},
        [
            TIED,
            BIAS,
            {"conv_bias": True},
            {"conv_L_cache": 5},
            {"use_sandwich_norm": False},
            {"use_attention_gate": False},
            {"layer_types": ["conv", "full_attention", "sliding_attention"] * 2},
        ],
    ),
    "qwen3_next": (
        ATTENTION | DELTA | EXPERTS | {"head_dim": 24},
        [
            TIED,
            BIAS,
            {"decoder_sparse_step": 2},
            {"mlp_only_layers": [1, 2]},
            {"num_experts": 0},
            {"shared_expert_intermediate_size": 0},
            {"full_attention_interval": 2},
            {"layer_types": ["full_attention", "linear_attention"] * 2},
        ],
    ),
    "qwen3_5_text": (ATTENTION | DELTA | {"head_dim": 24}, [TIED, BIAS, {"full_attention_interval": 2}]),
    "qwen3_5_moe_text": (ATTENTION | DELTA | EXPERTS | {"head_dim": 24}, [TIED, BIAS]),
    "olmo_hybrid": (
        ATTENTION,
        [
            TIED,
            BIAS,
            {"num_hidden_layers": 3},
            {"num_hidden_layers": 9},
            {"linear_num_key_heads": 2, "linear_num_value_heads": 4},
            {"linear_key_head_dim": 20},
            {"linear_value_head_dim": 28},
            {"linear_conv_kernel_dim": 3},
            {"layer_types": ["full_attention", "linear_attention"] * 2},
            {"num_key_value_heads": None},
        ],
    ),
    "minimax": (
        ATTENTION | {"num_local_experts": 6, "num_experts_per_tok": 2, "block_size": 32},
        [TIED, {"head_dim": 24}, {"layer_types": ["linear_attention"] * 3 + ["full_attention"]}],
    ),
    "kimi_linear": (
        ATTENTION | LATENT | EXPERTS | {"linear_num_heads": 3, "linear_head_dim": 20, "num_hidden_layers": 6},
        [
            TIED,
            BIAS,
            {"q_lora_rank": 24},
            {"n_shared_experts": 3},
            {"first_k_dense_replace": 2},
            {"mlp_layer_types": ["sparse", "dense"] * 3},
            {"layer_types": ["full_attention", "linear_attention"] * 3},
            {
                "linear_attn_config": {
                    "full_attn_layers": [2, 6],
                    "kda_layers": [1, 3, 4, 5],
                    "head_dim": 12,
                    "num_heads": 5,
                    "short_conv_kernel_size": 3,
                }
            },
        ],
    ),
    "bailing_hybrid": (
        ATTENTION | LATENT | EXPERTS | {"head_dim": 20, "layer_group_size": 3, "num_hidden_layers": 6},
        [
            TIED,
            BIAS,
            {"n_shared_experts": 3},
            {"first_k_dense_replace": 1},
            {"short_conv_kernel_size": 3},
            {"linear_head_dim": 12, "linear_num_heads": 3, "linear_conv_kernel_dim": 5},
        ],
    ),
    "xlstm": (
        {"hidden_size": 128, "num_heads": 2},
        [
            TIED,
            {"use_bias": True},
            {"weight_mode": "fused"},
            {"weight_mode": "fused", "use_bias": True},
            {"qk_dim_factor": 1.0, "v_dim_factor": 2.0},
            {"ffn_proj_factor": 1.3, "ffn_round_up_to_multiple_of": 48},
        ],
    ),
}
CHANGED = [
    pytest.param(BASE | {"model_type": kind} | own | change, id=f"{kind}-{change}")
    for kind, (own, changes) in CASES.items()
    for change in ({}, *changes)
]
