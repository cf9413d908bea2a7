"""Tiny configs of every mixture and every latent attention, and the changes to them that change what is built."""

from typing import Any

BASE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TIED = {"tie_word_embeddings": True}
BIAS = {"attention_bias": True}
HEAD_DIM = {"head_dim": 24}

LOCAL = {"num_local_experts": 6, "num_experts_per_tok": 2}
SMALL = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40}
DEEPSEEK = {"n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
}
SPARSE_LATENT = LATENT | DEEPSEEK | {"index_head_dim": 16, "index_n_heads": 3}
SLIDING_LATENT = {
    "head_dim": 20,
    "swa_num_attention_heads": 2,
    "swa_num_key_value_heads": 2,
    "swa_q_lora_rank": 28,
    "swa_kv_lora_rank": 36,
    "swa_head_dim": 24,
    "swa_qk_nope_head_dim": 16,
    "swa_v_head_dim": 18,
}
INDEXERS = {"indexer_types": ["full", "shared", "shared", "full"]}
WHOLE_QUERY = {"q_lora_rank": None}
FIRST = {"first_k_dense_replace": 1}
SHARED = {"n_shared_experts": 3}
BY_WORDS = {"mlp_layer_types": ["sparse", "dense", "dense", "sparse"]}
WINDOWS = {"layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]}

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "mixtral": (LOCAL, [TIED, HEAD_DIM, {"sliding_window": 8}]),
    "minimax_m2": (LOCAL, [TIED, HEAD_DIM]),
    "phimoe": (LOCAL, [TIED, BIAS, HEAD_DIM, {"lm_head_bias": True}]),
    "olmoe": (LOCAL | {"num_experts": 6}, [TIED, BIAS]),
    "flex_olmo": (LOCAL | {"num_experts": 6}, [TIED, BIAS]),
    "granitemoe": (LOCAL, [TIED, BIAS]),
    "granitemoeshared": (LOCAL, [TIED, BIAS, {"shared_intermediate_size": 48}]),
    "granitemoe_swa": (LOCAL, [TIED, BIAS, {"shared_intermediate_size": 48}]),
    "qwen2_moe": (
        SMALL | {"shared_expert_intermediate_size": 48},
        [
            TIED,
            HEAD_DIM,
            {"qkv_bias": False},
            {"decoder_sparse_step": 2},
            {"mlp_only_layers": [0, 3]},
            {"num_experts": 0},
            {"use_sliding_window": True},
        ],
    ),
    "qwen3_moe": (
        SMALL,
        [TIED, BIAS, HEAD_DIM, {"decoder_sparse_step": 2}, {"mlp_only_layers": [0]}],
    ),
    "qwen3_vl_moe_text": (SMALL, [TIED, BIAS, HEAD_DIM, {"decoder_sparse_step": 2}]),
    "deepseek_v2": (
        LATENT | DEEPSEEK,
        [TIED, BIAS, WHOLE_QUERY, FIRST, SHARED, {"mlp_bias": True} | FIRST],
    ),
    "deepseek_v3": (
        LATENT | DEEPSEEK | {"n_group": 1, "topk_group": 1},
        [TIED, BIAS, WHOLE_QUERY, FIRST, SHARED, {"num_nextn_predict_layers": 1}],
    ),
    "mistral4": (LATENT | DEEPSEEK, [TIED, BIAS, WHOLE_QUERY, FIRST, SHARED]),
    "glm4_moe_lite": (LATENT | DEEPSEEK, [TIED, BIAS, WHOLE_QUERY, FIRST, SHARED, BY_WORDS]),
    "axk1": (LATENT | DEEPSEEK, [TIED, BIAS, FIRST, SHARED, BY_WORDS, {"moe_layer_freq": 2}]),
    "youtu": (LATENT, [TIED, BIAS, WHOLE_QUERY]),
    "minicpm3": (LATENT, [TIED, BIAS, WHOLE_QUERY, {"mlp_bias": True}, {"v_head_dim": None}]),
    "flint": (SMALL, [TIED, BIAS, HEAD_DIM, {"mlp_only_layers": []}, {"shared_expert_intermediate_size": 24}]),
    "kolibri1": (SMALL, [TIED, HEAD_DIM, {"shared_expert_intermediate_size": 24}]),
    "mellum": (SMALL, [TIED, BIAS, HEAD_DIM, BY_WORDS, WINDOWS]),
    "glm4_moe": (DEEPSEEK, [TIED, BIAS, HEAD_DIM, FIRST, SHARED, {"use_qk_norm": True}]),
    "glm4v_moe_text": (DEEPSEEK, [TIED, {"attention_bias": False}, FIRST, SHARED]),
    "solar_open": (DEEPSEEK, [TIED, BIAS, HEAD_DIM, SHARED]),
    "dots1": (DEEPSEEK | {"n_shared_experts": 1}, [TIED, BIAS, FIRST, SHARED, {"max_window_layers": 2}, WINDOWS]),
    "hy_v3": (SMALL, [TIED, BIAS, HEAD_DIM, BY_WORDS, {"mlp_bias": True}, {"num_shared_experts": 2}]),
    "exaone_moe": (SMALL, [TIED, BY_WORDS, WINDOWS, {"first_k_dense_replace": 2}, {"num_shared_experts": 2}]),
    "gpt_oss": (LOCAL, [TIED, HEAD_DIM, {"attention_bias": False}, WINDOWS]),
    "mimo_v2_flash": (DEEPSEEK, [TIED, BIAS, HEAD_DIM, BY_WORDS, WINDOWS, {"v_head_dim": 40}]),
    "llama4_text": (
        LOCAL | {"intermediate_size_mlp": 80},
        [
            TIED,
            BIAS,
            HEAD_DIM,
            {"interleave_moe_layer_step": 2},
            {"moe_layers": [3]},
            {"use_qk_norm": False},
            {"no_rope_layers": [1, 0, 1, 0]},
        ],
    ),
    "afmoe": (SMALL, [TIED, BIAS, HEAD_DIM, WINDOWS, {"num_dense_layers": 3}, {"num_shared_experts": 1}]),
    "laguna": (
        SMALL,
        [
            TIED,
            BIAS,
            HEAD_DIM,
            BY_WORDS,
            WINDOWS,
            {"gating": "per-element"},
            {"gating": "per-head"},
            {"num_attention_heads_per_layer": [4, 2, 2, 6]},
            {"shared_expert_intermediate_size": 24},
        ],
    ),
    "beam": (SMALL, [TIED, BIAS, HEAD_DIM, BY_WORDS, WINDOWS]),
    "dbrx": (
        {"d_model": 64, "n_heads": 4, "n_layers": 4, "max_seq_len": 64, "attn_config": {"rope_theta": 10000.0}},
        [
            {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2}},
            {"ffn_config": {"ffn_hidden_size": 40, "moe_num_experts": 6}},
            {"ffn_config": {"moe_top_k": 2}},
        ],
    ),
    "ernie4_5_moe": (
        {"moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 40},
        [
            TIED,
            HEAD_DIM,
            {"use_bias": True},
            {"use_bias": True} | TIED,
            {"moe_layer_interval": 2},
            {"moe_layer_start_index": 0, "moe_layer_end_index": 2},
            {"moe_num_shared_experts": 0},
        ],
    ),
    "hunyuan_v1_moe": (
        HEAD_DIM | {"num_experts": 6, "moe_topk": 2},
        [TIED, BIAS, {"moe_topk": [1, 2, 2, 1]}],
    ),
    "cohere2_moe": (
        {"num_experts": 6},
        [
            TIED,
            BIAS,
            HEAD_DIM,
            BY_WORDS,
            WINDOWS,
            {"rms_norm_eps": 1e-5},
            {"num_shared_experts": 2},
            {"first_k_dense_replace": 2},
            {"first_k_dense_replace": 2, "prefix_dense_intermediate_size": 120},
        ],
    ),
    "aria_text": ({"moe_num_experts": 6}, [TIED, BIAS, {"mlp_bias": True}, {"moe_num_shared_experts": 1}]),
    "deepseek_v32": (SPARSE_LATENT, [TIED, BIAS, FIRST, SHARED, BY_WORDS]),
    "glm_moe_dsa": (
        SPARSE_LATENT,
        [TIED, BIAS, FIRST, SHARED, BY_WORDS, INDEXERS, {"index_topk_pattern": "FSSF"}, {"index_topk_freq": 2}],
    ),
    "axk2": (SPARSE_LATENT, [TIED, BIAS, FIRST, SHARED, BY_WORDS, {"moe_layer_freq": 2}, {"gated_norm_rank": 4}]),
    "hy_v4": (SPARSE_LATENT, [TIED, BIAS, SHARED, BY_WORDS, INDEXERS, {"hc_mult": 2}]),
    "deepseek_v4": (
        DEEPSEEK
        | {"num_key_value_heads": 1, "head_dim": 24, "q_lora_rank": 20, "o_groups": 2, "o_lora_rank": 12}
        | {"index_head_dim": 16, "index_n_heads": 3, "num_hidden_layers": 5, "intermediate_size": 40},
        [
            TIED,
            {"mlp_bias": True},
            {"hc_mult": 2},
            {"compress_ratios": [0, 4, 128, 0, 4, 0]},
            {"layer_types": ["sliding_attention"] * 5},
            {"compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 16}},
            {"compress_rate_csa": 2, "compress_rate_hca": 32},
            {"num_nextn_predict_layers": 0},
        ],
    ),
    "longcat_flash": (
        LATENT
        | {
            "n_routed_experts": 6,
            "moe_topk": 2,
            "expert_ffn_hidden_size": 40,
            "ffn_hidden_size": 96,
            "num_layers": 3,
            "num_hidden_layers": 6,
        },
        [TIED, BIAS, {"zero_expert_num": 3}, {"zero_expert_num": 0}, {"router_bias": True}],
    ),
    "jetmoe": (LOCAL | {"kv_channels": 24}, [TIED, {"num_experts_per_tok": 1}]),
    "minimax_m3_vl_text": (
        LOCAL | HEAD_DIM | {"dense_intermediate_size": 80, "shared_intermediate_size": 48, "index_head_dim": 16},
        [
            TIED,
            BY_WORDS,
            {"layer_types": ["full_attention", "minimax_m3_sparse", "minimax_m3_sparse", "full_attention"]},
            {"moe_layer_freq": [0, 1, 1, 1]},
            {"sparse_attention_config": {"sparse_attention_freq": [0, 1, 1, 1], "sparse_index_dim": 8}},
        ],
    ),
    "step3p5": (
        SMALL | {"share_expert_dim": 48, "sliding_window": 8},
        [
            TIED,
            BIAS,
            HEAD_DIM,
            WINDOWS,
            BY_WORDS,
            {"mlp_bias": True},
            {"n_routed_experts": 8},
            {"moe_layers_enum": "1,3"},
            {"moe_layers_enum": [0, 2]},
            WINDOWS | {"attention_other_setting": {"num_attention_heads": 6}},
            WINDOWS | {"num_sliding_attention_heads": 8},
            {"num_nextn_predict_layers": 1, "layer_types": ["sliding_attention"] * 5},
        ],
    ),
    "mistral_large4_text": (
        SPARSE_LATENT,
        [
            TIED,
            BIAS,
            FIRST,
            SHARED,
            BY_WORDS,
            INDEXERS,
            {"kv_source_layers": [0, 1, 0, 1]},
            {"no_rope_layer_interval": 2},
            {"no_rope_layers": [0, 0, 1, 1]},
        ],
    ),
    "dots3_note_text": (
        SPARSE_LATENT | SLIDING_LATENT,
        [
            TIED,
            BIAS,
            FIRST,
            SHARED,
            BY_WORDS,
            {"use_dsa": False},
            {"use_sliding_window": False},
            {"layer_types": ["sliding_attention", "full_attention", "sliding_attention", "indexed_attention"]},
            {"moe_layer_freq": 2},
            {"moe_layer_freq": [1, 1, 0, 1]},
            {"shared_experts_intermediate_size": 24},
        ],
    ),
}
