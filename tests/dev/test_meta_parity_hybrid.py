"""Closed forms against transformers: state-space, linear-attention and hybrid families."""

from typing import Any

import pytest
from transformers import AutoConfig

from tests.dev.meta_linears import built, counted
from tests.hybrid_cases import BASE, CASES, CHANGED
from vramcast.sources.read import read_config


@pytest.mark.parametrize("config", CHANGED)
def test_counts_equal_transformers(config: dict[str, Any]) -> None:
    """Parameters, and the linears that quantisers and adapters find, are those that transformers builds."""
    assert counted(read_config(config, "tiny")) == built(config)


@pytest.mark.parametrize("model_type", CASES)
def test_a_file_that_transformers_wrote_reads_the_same(model_type: str) -> None:
    """Class defaults, derived values and renamed keys that transformers writes out change no count."""
    own, _ = CASES[model_type]
    options = BASE | own
    written = AutoConfig.for_model(model_type, **options).to_dict()
    assert read_config(written, "tiny").weights == read_config(options | {"model_type": model_type}, "tiny").weights
