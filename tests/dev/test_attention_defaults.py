"""Where `sdpa` means eager attention: the table and the layers' switches against transformers' own choice."""

import warnings

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.dev.tiny_configs import TINY
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.run import AttentionKernel
from vramcast.rules.attention_kernel import asked_attention, resolve_attention
from vramcast.sources.read import read_config

A100 = (8, 0)


def chosen(model_type: str) -> set[bool]:
    """Whether each attention layer runs eager when SDPA is asked for, by the rule."""
    model = read_config(TINY[model_type], "tiny")
    asked = asked_attention(AttentionKernel.SDPA, model)
    mixers = [mixer for layer in model.iter_layers() for mixer in layer.mixers]
    return {
        resolve_attention(asked, mixer, 8, 2, A100) is AttentionKernel.EAGER
        for mixer in mixers
        if isinstance(mixer, Attention | LatentAttention)
    }


@pytest.mark.parametrize("model_type", [name for name in TINY if chosen(name)])
def test_families_without_sdpa_are_known(model_type: str) -> None:
    """A model built without a wish runs SDPA or eager attention as the rule says, in every layer."""
    config = {key: value for key, value in TINY[model_type].items() if key != "model_type"}
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **config))
    assert chosen(model_type) == {model.config._attn_implementation == "eager"}
