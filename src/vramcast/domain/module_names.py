"""
What model code calls its linear layers, and the canonical names they go by here.

Source: the module names of transformers 5.23 and of the code published with Qwen 1, Baichuan, InternLM 2, ChatGLM and
EXAONE 3. Checked: 2026-11-24.
"""

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "q_a_proj", "q_b_proj", "kv_a_proj", "kv_b_proj")
MLP = ("gate_proj", "up_proj", "down_proj", "gate_up_proj")
TARGETS = {"attention": ATTENTION, "mlp": MLP}  # words for several linear layers at once
_CANONICAL = frozenset(
    {"q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "gate_up_proj"}
)

# A name with several meanings is one layer in some families and another elsewhere, or stands for two in one model.
_MEANINGS: dict[str, tuple[str, ...]] = {
    "W_pack": ("qkv_proj",),
    "Wqkv": ("qkv_proj",),
    "c_attn": ("qkv_proj",),
    "query_key_value": ("qkv_proj",),
    "wqkv": ("qkv_proj",),
    "dense": ("o_proj",),
    "out_proj": ("o_proj", "out_proj"),
    "wo": ("o_proj",),
    "c_proj": ("o_proj", "down_proj"),
    "c_fc": ("up_proj",),
    "c_fc_0": ("gate_proj",),
    "c_fc_1": ("up_proj",),
    "dense_4h_to_h": ("down_proj",),
    "dense_h_to_4h": ("up_proj", "gate_up_proj"),
    "down": ("down_proj",),
    "fc1": ("up_proj",),
    "fc2": ("down_proj",),
    "fc_in": ("up_proj",),
    "fc_out": ("down_proj",),
    "up": ("up_proj",),
    "w1": ("gate_proj",),
    "w2": ("down_proj",),
    "w3": ("up_proj",),
    "kv_a_proj_with_mqa": ("kv_a_proj",),
}
# Families that use one of those names for something narrower, or for something else.
_BY_TYPE: dict[str, dict[str, tuple[str, ...]]] = {
    "exaone": {"c_proj": ("down_proj",)},
    "gpt_neo": {"c_proj": ("down_proj",)},
    "qwen": {"w1": ("up_proj",), "w2": ("gate_proj",)},
    "starcoder2": {"c_proj": ("down_proj",)},
}


def canonical_names(name: str, model_type: str = "") -> tuple[str, ...]:
    """
    The canonical names that a module's `name` may mean, none if it is not known.

    Of a dotted path such as `self_attn.q_proj` the last part counts. `model_type` settles the names that families use
    differently; without it, the most common meaning is given. A caller keeps those that its model has.
    """
    last = name.rpartition(".")[2]
    if last in _CANONICAL:
        return (last,)
    return _BY_TYPE.get(model_type, {}).get(last) or _MEANINGS.get(last, ())
