"""The text that is trained on, and configs cut short."""

from typing import Any

import pytest

from tests.measure.tiny import LLAMA
from vramcast.domain.errors import InputError
from vramcast.measure.shortened import shortened
from vramcast.measure.text import batches, own_text


def test_the_own_text_is_a_text() -> None:
    """It ships with the package, is plain, and long enough that pieces of it differ."""
    text = own_text().decode("ascii")
    assert text.startswith("When in the Course of human events")
    assert len(text) > 2000


def test_batches_are_pieces_of_the_text() -> None:
    """Every row is a piece of the text, which goes in a circle; the seed decides which."""
    text = b"abcdefghij"
    ids = next(batches(text, 256, 3, 15, seed=1))
    assert ids.shape == (3, 15)
    assert all(bytes(row) in text * 3 for row in ids.tolist())
    assert ids.tolist() == next(batches(text, 256, 3, 15, seed=1)).tolist()
    assert ids.tolist() != next(batches(text, 256, 3, 15, seed=2)).tolist()


def test_a_small_vocabulary_takes_bytes_modulo() -> None:
    """No token is outside the vocabulary."""
    assert int(next(batches(own_text(), 10, 2, 500)).max()) < 10


def test_shortened_cuts_lists_with_an_entry_a_layer() -> None:
    """The number of layers changes, and so do lists of that length; a multimodal config changes its text model."""
    config: dict[str, Any] = LLAMA | {"layer_types": ["a", "b"], "eos_token_id": [1, 2, 3]}
    cut = shortened(config, 1)
    assert (cut["num_hidden_layers"], cut["layer_types"], cut["eos_token_id"]) == (1, ["a"], [1, 2, 3])
    assert shortened({"text_config": config, "vision": 1}, 1) == {"text_config": cut, "vision": 1}
    assert config["num_hidden_layers"] == 2


@pytest.mark.parametrize(("config", "layers"), [({}, 1), (LLAMA, 3), (LLAMA, 0)])
def test_layers_that_cannot_be(config: dict[str, Any], layers: int) -> None:
    """A model without a number of layers, or with fewer, is refused."""
    with pytest.raises(InputError, match="layers"):
        shortened(config, layers)
