"""Equal layers as one object."""

from tests.models import TINY, model
from vramcast.domain.model import run_length
from vramcast.sources.resolve import load_model


def test_a_catalogue_model_has_one_object_a_kind() -> None:
    """Gemma 3 alternates two kinds of layers in many runs."""
    layers = load_model("gemma-3-27b").layers
    assert len(layers) > 4
    assert len({id(run.layer) for run in layers}) == len({run.layer for run in layers}) == 2


def test_run_length_is_an_encoding() -> None:
    """Spelt out and encoded again, the runs are the same."""
    for spec in (model(TINY), load_model("gemma-3-27b")):
        assert run_length(spec.iter_layers()) == spec.layers
