"""The catalog's full-size configurations against what transformers builds from them."""

from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.dev.meta import parameters_on_meta
from vramcast.catalog.models import ModelRow, all_rows
from vramcast.sources.read import read_config

NOT_IN_TRANSFORMERS = {"baichuan", "internlm2", "kimi_k2", "minicpm"}  # their checkpoints bring their own code


def smallest_of_each_type() -> list[ModelRow]:
    """One row an architecture, the one that builds fastest."""
    rows: dict[str, ModelRow] = {}
    for row in sorted(all_rows(), key=lambda row: row.parameters):
        rows.setdefault(row.model_type, row)
    return [row for row in rows.values() if row.model_type not in NOT_IN_TRANSFORMERS]


def text_config(row: ModelRow) -> dict[str, Any]:
    """The configuration of the language model, which is nested in a multimodal one."""
    return dict(row.config.get("text_config", row.config))


@pytest.mark.parametrize("row", smallest_of_each_type(), ids=lambda row: row.name)
def test_the_full_size_model_counts_as_transformers_builds_it(row: ModelRow) -> None:
    """Not only the tiny test models: the published configuration itself, to the last parameter."""
    assert read_config(row.config, row.name).parameters == parameters_on_meta(text_config(row))


def test_the_types_left_out_are_unknown_to_transformers() -> None:
    """A type that transformers learns to build must be compared as well."""
    assert {row.model_type for row in all_rows()} - set(CONFIG_MAPPING) == NOT_IN_TRANSFORMERS
