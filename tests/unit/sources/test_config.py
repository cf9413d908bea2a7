"""The accessors through which readers touch foreign data."""

from typing import Any

import pytest

from vramcast.domain.errors import InputError
from vramcast.sources.config import LARGEST, MOST_LAYERS, Config


def config(**data: Any) -> Config:
    """A configuration called `c`."""
    return Config(data, "c")


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, [1], LARGEST + 1, float("nan")])
def test_sizes_are_whole_numbers_from_one(value: object) -> None:
    """Whatever else stands under a size is refused by name."""
    with pytest.raises(InputError, match="`hidden_size`"):
        config(hidden_size=value).size("hidden_size")


def test_a_missing_size_is_named() -> None:
    """The message says which key is missing."""
    with pytest.raises(InputError, match="config has no `hidden_size`"):
        config().size("hidden_size")


@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layer", "n_layers", "num_layers"])
def test_depth_is_capped_whatever_it_is_called(key: str) -> None:
    """An absurd depth is refused before anything spells its layers out."""
    assert config(**{key: MOST_LAYERS}).size(key) == MOST_LAYERS
    with pytest.raises(InputError, match="at most 10,000"):
        config(**{key: 2**40}).size(key)


def test_null_is_there_but_counts_as_absent() -> None:
    """Readers can tell null from nothing where the two mean different things."""
    assert config(a=None).has("a")
    assert not config().has("a")
    assert config(a=None).size("a", default=3) == 3


def test_renamed_keys_read_what_the_family_wrote() -> None:
    """A family's own name wins; null under it leaves the usual name alone."""
    named = config(n_embd=8, hidden_size=4).renamed(hidden_size="n_embd")
    assert named.size("hidden_size") == 8
    assert config(n_embd=None, hidden_size=4).renamed(hidden_size="n_embd").size("hidden_size") == 4


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.1", True, float("inf")])
def test_probabilities_lie_between_zero_and_one(value: object) -> None:
    """Whatever else stands under a dropout is refused."""
    with pytest.raises(InputError, match="`p`"):
        config(p=value).probability("p")


def test_probability_default() -> None:
    """An absent probability is the family's default."""
    assert config().probability("p", default=0.1) == 0.1


def test_keys() -> None:
    """Keys are listed even where they hold null."""
    assert config(a=None, b=1).keys() == {"a", "b"}
