"""The catalog of well-known models: sourced, unambiguous, and each row counted as it was published."""

import re
from collections import Counter
from datetime import date

import pytest

from vramcast.catalog.models import ModelRow, all_rows, find_model_row
from vramcast.sources.read import read_config

ROWS = all_rows()


def by_name(row: ModelRow) -> str:
    """A test id."""
    return row.name


@pytest.mark.parametrize("row", ROWS, ids=by_name)
def test_our_count_is_the_published_count(row: ModelRow) -> None:
    """Config and closed form yield the published parameters: to the last one, or to the digits that were published."""
    model = read_config(row.config, row.name)
    second_head = model.vocab_size * (model.embedding_size or model.hidden_size) if row.head_twice else 0
    assert row.agrees_with(model.parameters + second_head), f"{model.parameters:,} against {row.published}"


def test_there_are_many_models_of_many_architectures() -> None:
    """At least 90 models over at least 38 model types."""
    assert len(ROWS) >= 90
    assert len({row.model_type for row in ROWS}) >= 38


def test_no_name_means_two_models() -> None:
    """Names and aliases are unique, whatever their case."""
    words = Counter(word.lower() for row in ROWS for word in (row.name, *row.aliases))
    assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=by_name)
def test_every_row_says_where_its_facts_come_from(row: ModelRow) -> None:
    """Name, hub id, source with the model it was read from, and a date that is one."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", row.name)
    hub_ids = [alias for alias in row.aliases if "/" in alias]
    assert hub_ids, "no hub id"
    assert any(hub_id in row.source for hub_id in hub_ids), row.source
    assert date.fromisoformat(row.checked) >= date(2026, 1, 1)


def test_a_tied_head_counted_twice_is_tied() -> None:
    """`head_twice` stands only where the model ties its head."""
    twice = [row for row in ROWS if row.head_twice]
    assert twice
    assert all(read_config(row.config, row.name).tied_head for row in twice)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("llama-3.1-8b", "llama-3.1-8b"),
        (" LLAMA-3.1-8B ", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/llama-3.1-8b-instruct", "llama-3.1-8b"),
        ("gpt2-small", "gpt2"),
    ],
)
def test_a_name_an_alias_and_a_hub_id_find_their_model(word: str, name: str) -> None:
    """Names are found in any case and with spaces around them."""
    row = find_model_row(word)
    assert row is not None
    assert row.name == name


@pytest.mark.parametrize("word", ["", "llama", "llama-3.1-8b-instruct", "somebody/Llama-3.1-8B"])
def test_a_name_that_the_catalog_lacks_is_none(word: str) -> None:
    """No guessing: a suffix or an owner that no alias lists is another model."""
    assert find_model_row(word) is None


def published(count: str) -> ModelRow:
    """A row with this published count."""
    return ModelRow(name="x", aliases=(), family="x", config={}, published=count, source="", checked="2026-11-24")


@pytest.mark.parametrize(
    ("count", "parameters", "agree", "differ"),
    [
        ("8,030,261,248", 8_030_261_248, [8_030_261_248], [8_030_261_247, 8_030_261_249]),
        ("6.74B", 6_740_000_000, [6_735_000_000, 6_738_415_616, 6_745_000_000], [6_734_999_999, 6_745_000_001]),
        ("124M", 124_000_000, [123_500_000, 124_439_808], [123_499_999, 125_198_592]),
        ("1T", 10**12, [1_026_408_232_448], [1_500_000_000_001]),
    ],
)
def test_a_count_agrees_to_the_digits_that_were_published(
    count: str, parameters: int, agree: list[int], differ: list[int]
) -> None:
    """An exact count admits itself only; a rounded one whatever rounds to it."""
    row = published(count)
    assert row.parameters == parameters
    assert row.exact == (agree == [parameters])
    assert all(row.agrees_with(value) for value in agree)
    assert not any(row.agrees_with(value) for value in differ)
