"""States, convolution tails and windows against what transformers' caches hold on small real models."""

from typing import Any

import pytest
import torch

from tests.dev.caches import Kept, kept_by_transformers
from tests.hybrid_cases import BASE, CASES
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.sources.read import read_config

TOKENS = 20
RUNNABLE: dict[str, dict[str, Any]] = {
    "zamba2": {"tie_word_embeddings": True, "num_mem_blocks": 2},
    "granitemoehybrid": {"position_embedding_type": "rope"},
    "lfm3": {"sliding_window": 8},
    "bailing_hybrid": {"n_group": 1, "topk_group": 1},
}


@pytest.mark.parametrize("model_type", CASES)
def test_states_equal_the_caches(model_type: str) -> None:
    """
    Every layer keeps as many elements of tokens, state and tail as the cache class does, in the same formats.

    Between two steps a sliding layer's cache holds one token less than its window: the next one completes it.
    """
    own, _ = CASES[model_type]
    config = BASE | {"model_type": model_type} | own | RUNNABLE.get(model_type, {})
    assert _kept_by_closed_form(read_config(config, "tiny")) == kept_by_transformers(config, TOKENS)


def _kept_by_closed_form(model: ModelSpec) -> Kept:
    kept = Kept([], [], [])
    for mixer in (mixer for layer in model.iter_layers() for mixer in layer.mixers):
        match mixer:
            case Attention():
                seen = TOKENS if mixer.window is None else min(TOKENS, mixer.window - 1)
                kept.tokens.append((seen * (mixer.key_width + mixer.value_width), torch.bfloat16))
            case LatentAttention():
                kept.tokens.append((TOKENS * (mixer.kv_rank + mixer.rope_dim), torch.bfloat16))
            case StateSpace() | LinearAttention():
                if mixer.state_elements:
                    dtype = torch.float32 if mixer.state_fp32 else torch.bfloat16
                    kept.states.append((mixer.state_elements, dtype))
                if mixer.conv_elements:
                    kept.tails.append((mixer.conv_elements, torch.bfloat16))
    return kept
