"""Small configurations of dense attention decoders, with every option that adds parameters or windows."""

from typing import Any

LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "tie_word_embeddings": False,
}
PLAIN = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
GPT: dict[str, Any] = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 77, "vocab_size": 500}
MIX = {"layer_types": ["full_attention", "sliding_attention"] * 3 + ["full_attention"], "sliding_window": 33}
BIAS = {"attention_bias": True}
TIED = {"tie_word_embeddings": True}

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "llama": (LLAMA, [{}, TIED, BIAS, {"mlp_bias": True}, {"head_dim": 24}]),
    "granite": (LLAMA, [{}, TIED, BIAS, {"mlp_bias": True}]),
    "iquestcoder": (LLAMA, [{}, BIAS]),
    "internlm3": (LLAMA | {"head_dim": 16}, [{}, {"qkv_bias": True, "bias": True}]),
    "mistral": (LLAMA, [{}, TIED, {"head_dim": 24}, {"sliding_window": None}, {"sliding_window": 99}]),
    "ministral": (LLAMA | {"head_dim": 24}, [{}, MIX, {"sliding_window": None}]),
    "ministral3": (LLAMA, [{}, {"head_dim": 16}, {"sliding_window": 50}]),
    "qwen2": (
        LLAMA,
        [{}, TIED, MIX | {"use_sliding_window": True}, {"use_sliding_window": True, "max_window_layers": 3}],
    ),
    "qwen3": (
        LLAMA,
        [
            {},
            BIAS,
            {"head_dim": 16},
            MIX | {"use_sliding_window": True},
            {"use_sliding_window": True, "max_window_layers": 3},
        ],
    ),
    "gemma": (LLAMA, [{}, {"head_dim": 16}, BIAS, TIED]),
    "gemma2": (LLAMA, [{}, {"head_dim": 16}, BIAS, MIX, TIED]),
    "vaultgemma": (LLAMA, [{}, {"head_dim": 16}, BIAS, MIX]),
    "gemma3_text": (
        LLAMA,
        [{}, {"head_dim": 16}, BIAS, MIX, {"sliding_window_pattern": 3}, {"use_bidirectional_attention": True}],
    ),
    "gemma3n_text": (
        LLAMA | {"vocab_size_per_layer_input": 300, "num_kv_shared_layers": 0},
        [
            {},
            {"num_kv_shared_layers": 2},
            {"head_dim": 16, "hidden_size_per_layer_input": 12, "laurel_rank": 5, "altup_num_inputs": 3},
            {"intermediate_size": [16, 32, 32, 32, 16, 16, 8]},
            BIAS,
            MIX,
            TIED,
        ],
    ),
    "gemma4_text": (
        LLAMA | {"vocab_size_per_layer_input": 300},
        [
            {},
            {"hidden_size_per_layer_input": 0},
            {"head_dim": 16, "global_head_dim": 24},
            {"attention_k_eq_v": True, "num_global_key_value_heads": 1},
            {"num_global_key_value_heads": 1},
            {"num_kv_shared_layers": 1, "use_double_wide_mlp": True, "num_hidden_layers": 13},
            {"per_layer_config": {"5": {"head_dim": 24}, "6": {"head_dim": 24}}},
            {"enable_moe_block": True, "num_experts": 6, "top_k_experts": 2, "moe_intermediate_size": 24},
            {"use_bidirectional_attention": "all"},
            BIAS,
            MIX,
            TIED,
        ],
    ),
    "gemma4_unified_text": (LLAMA, [{}, {"attention_k_eq_v": True}, MIX]),
    "phi": (LLAMA, [{}, {"num_key_value_heads": 4, "qk_layernorm": True}, {"num_key_value_heads": None}]),
    "phi3": (LLAMA | {"pad_token_id": 0}, [{}, TIED, {"num_key_value_heads": None}, {"sliding_window": 40}]),
    "starcoder2": (LLAMA, [{}, {"use_bias": False}, {"sliding_window": 40}]),
    "gpt2": (GPT, [{}, {"n_inner": 100}, {"tie_word_embeddings": False}]),
    "gpt_bigcode": (GPT, [{}, {"n_inner": 100}, {"multi_query": False}]),
    "gpt_neo": (
        {
            "hidden_size": 64,
            "num_layers": 4,
            "num_heads": 4,
            "vocab_size": 500,
            "attention_types": [[["global", "local"], 2]],
        },
        [{}, {"intermediate_size": 100}, {"max_position_embeddings": 50}],
    ),
    "gptj": (GPT, [{}, {"n_inner": 100}, TIED]),
    "codegen": (GPT, [{}, {"n_inner": 100}, TIED]),
    "gpt_neox": (PLAIN, [{}, {"attention_bias": False}, {"use_parallel_residual": False}, TIED]),
    "gpt_neox_japanese": (PLAIN, [{}, {"intermediate_multiple_size": 3}, {"num_hidden_layers": 1}, TIED]),
    "opt": (
        PLAIN | {"ffn_dim": 100},
        [
            {},
            TIED,
            {"enable_bias": False},
            {"layer_norm_elementwise_affine": False},
            {"word_embed_proj_dim": 32},
            {"word_embed_proj_dim": 32, "do_layer_norm_before": False},
            {"_remove_final_layer_norm": True},
        ],
    ),
    "xglm": (
        {"d_model": 64, "num_layers": 3, "attention_heads": 4, "ffn_dim": 100, "vocab_size": 500},
        [{}, {"tie_word_embeddings": False}],
    ),
    "biogpt": (PLAIN, [{}, TIED, {"max_position_embeddings": 50}]),
    "bloom": ({"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 500}, [{}, {"n_embed": 32}]),
    "mpt": (
        {"d_model": 64, "n_layers": 3, "n_heads": 4, "vocab_size": 500},
        [{}, {"no_bias": False}, {"tie_word_embeddings": False}, {"attn_config": {"attn_pdrop": 1}}],
    ),
    "falcon": (
        PLAIN | {"bias": False},
        [
            {},
            {"bias": True},
            {"multi_query": False},
            {"multi_query": False, "alibi": True, "parallel_attn": False, "bias": True},
            {"new_decoder_architecture": True, "num_kv_heads": 2},
            {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
            {"new_decoder_architecture": True},
            {"ffn_hidden_size": 100},
            {"num_ln_in_parallel_attn": 2},
        ],
    ),
    "stablelm": (
        LLAMA,
        [
            {},
            {"use_qkv_bias": True},
            {"use_parallel_residual": True, "qk_layernorm": True},
            TIED,
        ],
    ),
    "persimmon": (PLAIN, [{}, {"qk_layernorm": False}]),
    "cohere": (LLAMA, [{}, {"use_qk_norm": True}, BIAS, TIED]),
    "cohere2": (LLAMA, [{}, MIX, {"sliding_window_pattern": 2}, BIAS]),
    "olmo": (LLAMA, [{}, BIAS, TIED]),
    "olmo2": (LLAMA, [{}, BIAS, TIED]),
    "olmo3": (LLAMA, [{}, BIAS, MIX]),
    "smollm3": (
        LLAMA | {"pad_token_id": 0},
        [
            {},
            BIAS,
            {"mlp_bias": True},
            {"use_sliding_window": True, "sliding_window": 33},
            MIX | {"use_sliding_window": True},
            {"no_rope_layers": [1, 0, 1, 0, 1, 0, 1]},
        ],
    ),
    "glm": (LLAMA | {"pad_token_id": 0}, [{}, {"attention_bias": False}, {"head_dim": 16}]),
    "glm4": (LLAMA | {"pad_token_id": 0}, [{}, {"attention_bias": False}, {"head_dim": 16}]),
    "nemotron": (LLAMA, [{}, BIAS, {"mlp_bias": True}, {"head_dim": 24}]),
    "exaone4": (LLAMA, [{}, MIX, {"sliding_window_pattern": 2}, {"head_dim": 24}]),
    "seed_oss": (LLAMA, [{}, {"attention_bias": False}, {"attention_out_bias": True}, {"mlp_bias": True}]),
    "hunyuan_v1_dense": (LLAMA | {"head_dim": 16}, [{}, BIAS, {"head_dim": 24}]),
    "arcee": (LLAMA, [{}, BIAS, {"mlp_bias": True}, {"head_dim": 24}]),
    "apertus": (LLAMA, [{}, BIAS, {"hidden_act": "relu2"}]),
    "helium": (LLAMA | {"head_dim": 16}, [{}, BIAS, {"mlp_bias": True}]),
    "ernie4_5": (LLAMA, [{}, {"use_bias": True}, {"head_dim": None}]),
    "bitnet": (LLAMA, [{}, BIAS, TIED]),
    "cwm": (LLAMA, [{}, MIX, {"head_dim": 16}, {"mlp_bias": True}]),
    "granite_swa": (
        LLAMA,
        [{}, MIX, BIAS, {"mlp_bias": True}, {"layer_rope_theta": [0.0, 1e4, 1e4, 0.0, 1e4, 1e4, 1e4]}],
    ),
    "hyperclovax": (LLAMA, [{}, {"use_post_norm": False}, BIAS, {"mlp_bias": True}]),
    "jais2": (LLAMA, [{}, {"attention_bias": False}, {"mlp_bias": False}]),
    "nanochat": (LLAMA, [{}, BIAS, {"final_logit_softcapping": None}]),
    "openai-gpt": (GPT, [{}, {"tie_word_embeddings": False}]),
    "gpt-sw3": (GPT, [{}]),
    "mllama_text_model": (LLAMA | {"pad_token_id": 0}, [{}, {"cross_attention_layers": [1, 2, 5]}]),
}
TINY = [(model_type, base | change) for model_type, (base, changes) in CASES.items() for change in changes]
# Depths that a class's other defaults, lists among them, allow.
DEPTHS: dict[str, dict[str, Any]] = {
    "gpt_neo": {"num_layers": 24},
    "gemma3n_text": {"num_hidden_layers": 20},
    "mllama_text_model": {"num_hidden_layers": 5, "pad_token_id": 0},
    "ministral": {"num_hidden_layers": 2, "head_dim": 128},
    "hunyuan_v1_dense": {"num_hidden_layers": 2, "head_dim": 128},
    "nemotron": {"num_hidden_layers": 2, "num_key_value_heads": 48},
}
