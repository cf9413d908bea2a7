"""A small Llama: its config, and the tensors of its checkpoint."""

from typing import Any

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "tie_word_embeddings": False,
}
PARAMETERS = 2 * 500 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 160 * 64 + 2 * 64) + 64

TENSORS: dict[str, tuple[str, tuple[int, ...]]] = {
    "model.embed_tokens.weight": ("BF16", (500, 64)),
    **{
        f"model.layers.{layer}.{name}.weight": ("BF16", shape)
        for layer in range(2)
        for name, shape in {
            "self_attn.q_proj": (64, 64),
            "self_attn.k_proj": (32, 64),
            "self_attn.v_proj": (32, 64),
            "self_attn.o_proj": (64, 64),
            "mlp.gate_proj": (160, 64),
            "mlp.up_proj": (160, 64),
            "mlp.down_proj": (64, 160),
            "input_layernorm": (64,),
            "post_attention_layernorm": (64,),
        }.items()
    },
    "model.norm.weight": ("BF16", (64,)),
    "lm_head.weight": ("BF16", (500, 64)),
}
