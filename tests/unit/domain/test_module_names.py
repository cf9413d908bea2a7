"""The names that frameworks give to linear layers."""

import pytest

from vramcast.domain.module_names import canonical_names


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("q_proj", ("q_proj",)),
        ("model.layers.0.self_attn.q_proj", ("q_proj",)),
        ("query_key_value", ("qkv_proj",)),
        ("attention.dense", ("o_proj",)),
        ("c_proj", ("o_proj", "down_proj")),
        ("w1", ("gate_proj",)),
        ("dense_h_to_4h", ("up_proj", "gate_up_proj")),
        ("lm_head", ()),
        ("", ()),
    ],
)
def test_names_mean_canonical_layers(name: str, meanings: tuple[str, ...]) -> None:
    """A framework's name leads to every layer it may stand for, an unknown one to none."""
    assert canonical_names(name) == meanings


@pytest.mark.parametrize(
    ("model_type", "name", "meanings"),
    [
        ("gpt2", "mlp.c_proj", ("o_proj", "down_proj")),
        ("starcoder2", "c_proj", ("down_proj",)),
        ("qwen", "w1", ("up_proj",)),
        ("qwen", "w2", ("gate_proj",)),
        ("internlm2", "w2", ("down_proj",)),
    ],
)
def test_the_model_type_settles_names_with_several_meanings(
    model_type: str, name: str, meanings: tuple[str, ...]
) -> None:
    """Qwen 1 calls its gate w2, which is the down projection elsewhere; StarCoder 2 has no c_proj in attention."""
    assert canonical_names(name, model_type) == meanings
