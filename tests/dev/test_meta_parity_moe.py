"""Closed forms against transformers: mixtures of experts and latent attention."""

from typing import Any

import pytest
from transformers import AutoModel
from transformers.models.step3p7.modeling_step3p7 import Step3p7TextModel

from tests.dev.meta_linears import built, counted
from tests.dev.moe_configs import BASE, CASES
from vramcast.sources.read import read_config

BODIES = {
    "glm4v_moe_text": AutoModel.from_config,
    "mistral4": AutoModel.from_config,
    "mistral_large4_text": AutoModel.from_config,
    "qwen3_vl_moe_text": AutoModel.from_config,
    "step3p5": Step3p7TextModel,
}
CHANGED = [
    pytest.param(model_type, own, change, id=f"{model_type}-{change}")
    for model_type, (own, changes) in CASES.items()
    for change in ({}, *changes)
]


@pytest.mark.parametrize(("model_type", "own", "change"), CHANGED)
def test_counts_equal_transformers(model_type: str, own: dict[str, Any], change: dict[str, Any]) -> None:
    """Linear matrices equal those that a quantiser would find, shape by shape, and all else adds up to the element."""
    config = BASE | own | change | {"model_type": model_type}
    assert counted(read_config(config, "tiny")) == built(config, BODIES.get(model_type))
