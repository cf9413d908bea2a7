"""Frameworks' names for linear layers, and the canonical names they may mean."""

_QKV = ("qkv_proj",)
_OUT = ("o_proj",)
_UP = ("up_proj",)
_DOWN = ("down_proj",)

MODULE_NAMES: dict[str, tuple[str, ...]] = {
    "c_attn": _QKV,
    "query_key_value": _QKV,
    "Wqkv": _QKV,
    "W_pack": _QKV,
    "wqkv": _QKV,
    "c_proj": ("o_proj", "down_proj"),
    "dense": _OUT,
    "out_proj": ("o_proj", "out_proj"),
    "wo": _OUT,
    "c_fc": _UP,
    "fc1": _UP,
    "fc2": _DOWN,
    "fc_in": _UP,
    "fc_out": _DOWN,
    "dense_h_to_4h": _UP,
    "dense_4h_to_h": _DOWN,
    "w1": ("gate_proj",),
    "w2": _DOWN,
    "w3": _UP,
    "kv_a_proj_with_mqa": ("kv_a_proj",),
}


def canonical_names(name: str) -> tuple[str, ...]:
    """The canonical names that a framework's `name` may stand for; empty if it is not a known alias."""
    return MODULE_NAMES.get(name, ())
