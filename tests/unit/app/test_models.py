"""Which models a word picks, and what is known of them."""

import pytest

from vramcast.app.models import list_architectures, list_models
from vramcast.catalog.models import all_rows
from vramcast.domain.errors import InputError
from vramcast.sources.known_model import KnownModel
from vramcast.sources.registry import readers


def known(name: str) -> KnownModel:
    """The model of this name."""
    listing = list_models(name)
    assert listing.named
    return listing.models[0]


def test_no_word_lists_the_catalog() -> None:
    """Every row is read, in the catalog's order."""
    listing = list_models(None)
    assert not listing.named
    assert [one.row for one in listing.models] == list(all_rows())


@pytest.mark.parametrize("word", ["gpt2", " GPT2-Small ", "openai-community/gpt2"])
def test_a_whole_name_picks_one(word: str) -> None:
    """Also where it is a part of other names: `gpt2` is not `gpt2-xl`."""
    listing = list_models(word)
    assert listing.named
    assert [one.row.name for one in listing.models] == ["gpt2"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("3.1-8B", "llama-3.1-8b"),
        ("deepseek-ai/", "deepseek-r1-qwen-7b"),
        ("qwen2_moe", "qwen1.5-moe-a2.7b"),
        ("kimi", "kimi-k2"),
    ],
)
def test_a_part_of_name_alias_or_type_picks_all_that_hold_it(word: str, name: str) -> None:
    """Case does not matter."""
    listing = list_models(word)
    assert not listing.named
    assert name in [one.row.name for one in listing.models]
    assert len(listing.models) < len(all_rows())


def test_an_unknown_word_is_an_error_with_near_names() -> None:
    """One line, with what may have been meant."""
    with pytest.raises(InputError, match=r"matches 'llamma-3\.1-8b'") as raised:
        list_models("llamma-3.1-8b")
    assert "did you mean llama-3.1-8b" in raised.value.hint


def test_an_unknown_word_like_nothing_points_to_the_list() -> None:
    """Where nothing is near, the hint is the command that lists all."""
    with pytest.raises(InputError) as raised:
        list_models("%%%%")
    assert raised.value.hint == "vramcast models lists them all"


def test_cache_of_grouped_queries_latents_and_states() -> None:
    """2 · L · K · H · 2 B; L · (rank + rope) · 2 B; none, but a state, for a state-space model."""
    assert known("llama-3.1-8b").token_bytes == 2 * 32 * 8 * 128 * 2
    assert known("deepseek-v3").token_bytes == 61 * (512 + 64) * 2
    mamba = known("mamba-2.8b")
    assert mamba.token_bytes == 0
    assert mamba.state_bytes > 64 * 5120 * 16


def test_only_mixtures_have_active_parameters() -> None:
    """Mixtral's 12.9B of 46.7B, less the token table, which is only looked up; none for a dense model."""
    assert known("llama-3.1-8b").active_parameters is None
    assert known("mixtral-8x7b").active_parameters == 12_879_925_248 - 32000 * 4096


def test_every_reader_is_an_architecture() -> None:
    """Sorted, with the catalog's models of each type."""
    architectures = list_architectures(None)
    assert [one.model_type for one in architectures] == sorted(readers())
    models = {one.model_type: one.models for one in architectures}
    assert models["phimoe"] == ("phi-3.5-moe",)
    assert sum(len(names) for names in models.values()) == len(all_rows())


def test_a_word_picks_architectures() -> None:
    """By a part of the type; an unknown one is an error."""
    assert all("gemma" in one.model_type for one in list_architectures("Gemma"))
    with pytest.raises(InputError, match="matches 'bert'"):
        list_architectures("bert")
