"""Architectures whose code comes with the checkpoint: counts against the published ones."""

from typing import Any

import pytest

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.model import ModelSpec
from vramcast.sources.read import read_config

BAICHUAN_7B: dict[str, Any] = {
    "model_type": "baichuan",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 64000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
BAICHUAN_13B = BAICHUAN_7B | {
    "hidden_size": 5120,
    "intermediate_size": 13696,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "model_max_length": 4096,
}
CHATGLM3_6B: dict[str, Any] = {
    "model_type": "chatglm",
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "ffn_hidden_size": 13696,
    "hidden_size": 4096,
    "kv_channels": 128,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 32,
    "num_layers": 28,
    "padded_vocab_size": 65024,
    "post_layer_norm": True,
    "rmsnorm": True,
    "seq_length": 8192,
    "tie_word_embeddings": False,
}
GLM4_9B = CHATGLM3_6B | {"num_layers": 40, "padded_vocab_size": 151552, "seq_length": 131072}
QWEN_7B: dict[str, Any] = {
    "model_type": "qwen",
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "kv_channels": 128,
    "no_bias": True,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "seq_length": 8192,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
INTERNLM2_7B: dict[str, Any] = {
    "model_type": "internlm2",
    "bias": False,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 92544,
}
INTERNLM2_1_8B = INTERNLM2_7B | {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}
EXAONE_7_8B: dict[str, Any] = {
    "model_type": "exaone",
    "activation_function": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_layers": 32,
    "vocab_size": 102400,
    "tie_word_embeddings": False,
}
MINICPM_2B: dict[str, Any] = {
    "model_type": "minicpm",
    "hidden_size": 2304,
    "intermediate_size": 5760,
    "num_attention_heads": 36,
    "num_hidden_layers": 40,
    "num_key_value_heads": 36,
    "vocab_size": 122753,
}
PUBLISHED = [
    pytest.param(BAICHUAN_7B, 7_000_559_616, id="Baichuan-7B, its model card"),
    pytest.param(BAICHUAN_13B, 13_264_901_120, id="Baichuan-13B, its model card"),
    pytest.param(CHATGLM3_6B, 6_243_584_000, id="ChatGLM3-6B, as its code counts itself"),
    pytest.param(GLM4_9B, 9_399_951_360, id="GLM-4-9B-Chat, as its code counts itself"),
    pytest.param(QWEN_7B, 7_721_324_544, id="Qwen-7B, safetensors metadata"),
    pytest.param(INTERNLM2_7B, 7_737_708_544, id="InternLM2-7B, safetensors headers"),
    pytest.param(INTERNLM2_1_8B, 1_889_110_016, id="InternLM2-1.8B, safetensors headers"),
    pytest.param(EXAONE_7_8B, 7_818_448_896, id="EXAONE-3.5-7.8B, safetensors metadata"),
    pytest.param(MINICPM_2B, 2_724_880_896, id="MiniCPM-2B, as its code counts itself"),
]


def first_mixer(model: ModelSpec) -> Attention:
    """The attention of the first layer."""
    mixer = model.layers[0].layer.mixer
    assert isinstance(mixer, Attention)
    return mixer


@pytest.mark.parametrize(("config", "parameters"), PUBLISHED)
def test_counts_equal_the_published_ones(config: dict[str, Any], parameters: int) -> None:
    """Each model has to the parameter what its makers or its checkpoint's headers say."""
    assert read_config(config, "published").parameters == parameters


def test_baichuan_rotates_at_7b_and_not_at_13b() -> None:
    """The 13B models use ALiBi."""
    assert first_mixer(read_config(BAICHUAN_7B, "7b")).rotary
    assert not first_mixer(read_config(BAICHUAN_13B, "13b")).rotary


@pytest.mark.parametrize("config", [BAICHUAN_7B, CHATGLM3_6B, QWEN_7B, INTERNLM2_7B], ids=lambda c: c["model_type"])
def test_one_matrix_makes_query_key_and_value(config: dict[str, Any]) -> None:
    """W_pack, query_key_value, c_attn and wqkv are one linear layer, so an adapter on it is one."""
    names = {weight.name for weight in read_config(config, "fused").weights}
    assert "qkv_proj" in names
    assert not names & {"q_proj", "k_proj", "v_proj"}


def test_chatglm_keeps_two_key_value_heads() -> None:
    """`multi_query_group_num` is the number of key/value heads."""
    assert first_mixer(read_config(CHATGLM3_6B, "glm")).kv_heads == 2


def test_chatglm_without_groups_is_multi_head() -> None:
    """Without `multi_query_attention` every head has its own key and value."""
    assert first_mixer(read_config(CHATGLM3_6B | {"multi_query_attention": False}, "glm")).kv_heads == 32


def test_qwen_1_halves_its_intermediate_size() -> None:
    """Gate and up share what the config calls the intermediate size."""
    gate = next(weight for weight in read_config(QWEN_7B, "qwen").weights if weight.name == "gate_proj")
    assert gate.shape == (11008, 4096)


def test_the_first_chatglm_is_refused_with_a_way_out() -> None:
    """ChatGLM-6B shares its type's name with its successors, but not its design."""
    config = {"model_type": "chatglm", "hidden_size": 4096, "inner_hidden_size": 16384, "num_layers": 28}
    with pytest.raises(UnsupportedError) as caught:
        read_config(config, "chatglm-6b")
    assert "ChatGLM2-6B" in caught.value.hint


def test_qwen_1_heads_have_to_fill_the_hidden_size() -> None:
    """Qwen 1's own code refuses anything else."""
    with pytest.raises(InputError, match="32 heads of 64 features"):
        read_config(QWEN_7B | {"kv_channels": 64}, "qwen")
