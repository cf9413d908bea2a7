"""Closed forms against transformers: state-space, linear-attention and hybrid families."""

from typing import Any

import pytest

from tests.dev.hybrid_cases import CHANGED
from tests.dev.meta_linears import built, counted
from vramcast.sources.read import read_config


@pytest.mark.parametrize(("config",), CHANGED)
def test_counts_equal_transformers(config: dict[str, Any]) -> None:
    """Parameters, and the linears that quantisers and adapters find, are those that transformers builds."""
    assert counted(read_config(config, "tiny")) == built(config)
