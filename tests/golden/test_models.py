"""The exact text of `vramcast models`."""

import pytest
from syrupy.assertion import SnapshotAssertion

from vramcast.app.models import list_architectures, list_models
from vramcast.render.models import architectures_table, model_page, models_table


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table(width: int, snapshot: SnapshotAssertion) -> None:
    """One family at three widths: a figure that moves is seen here."""
    assert models_table(list_models("deepseek").models, width=width, color=False) == snapshot


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3.5-35b-a3b", "falcon-40b"])
def test_page(name: str, snapshot: SnapshotAssertion) -> None:
    """The page of a dense model, of a hybrid mixture inside a multimodal one, and of a head that is counted twice."""
    assert model_page(list_models(name).models[0], width=80, color=False) == snapshot


def test_architectures(snapshot: SnapshotAssertion) -> None:
    """Types with and without models in the catalog."""
    assert architectures_table(list_architectures("gemma"), width=80, color=False) == snapshot
