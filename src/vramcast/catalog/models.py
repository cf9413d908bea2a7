"""Well-known models: the facts of their configurations, their published sizes, and where both come from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from vramcast.catalog.data_file import file_names, read_text

_FOLDER = "models"
_COUNT = re.compile(r"(?P<digits>[\d,]+(?:\.(?P<decimals>\d+))?)(?P<unit>[MBT]?)")
_UNITS = {"": 1, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """
    One model of the catalog.

    Attributes:
        name: the house name, such as `llama-3.1-8b`; aliases: other names, hub ids among them.
        family: the file that holds the row.
        config: what matters for memory of the model's `config.json`, in its words.
        published: the parameter count as its source writes it: exact (`8,030,261,248`) or rounded (`6.74B`).
        head_twice: the published count holds a tied output head a second time, as the checkpoint does.
        source: where config and count come from; checked: when they were last held against each other.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    config: Mapping[str, Any]
    published: str
    head_twice: bool = False
    source: str
    checked: str

    @property
    def model_type(self) -> str:
        """The architecture's name in transformers; of a multimodal model, that of its text model."""
        text = self.config.get("text_config", self.config)
        return str(text["model_type"])

    @property
    def parameters(self) -> int:
        """The published count as a number."""
        return _read_count(self.published)[0]

    @property
    def exact(self) -> bool:
        """Whether the count was published to the last parameter."""
        return _read_count(self.published)[1] == 1

    def agrees_with(self, count: int) -> bool:
        """Whether `count`, rounded to the digits that were published, is the published count."""
        value, last_digit = _read_count(self.published)
        return abs(count - value) <= last_digit // 2


@cache
def all_rows() -> tuple[ModelRow, ...]:
    """Every model, by family and in each family's own order."""
    return tuple(row for file in file_names(_FOLDER) for row in _family(file, read_text(_FOLDER, file)))


def find_model_row(name: str) -> ModelRow | None:
    """The model of this name or alias, whatever its case; None if the catalog has none."""
    wanted = name.strip().lower()
    for file in file_names(_FOLDER):
        text = read_text(_FOLDER, file)
        if f'"{wanted}"' in text.lower():  # most files need no parsing: the name is not in them
            for row in _family(file, text):
                if wanted in (row.name, *(alias.lower() for alias in row.aliases)):
                    return row
    return None


def _family(file: str, text: str) -> list[ModelRow]:
    family = file.removesuffix(".json")
    return [ModelRow(**(row | {"aliases": tuple(row["aliases"]), "family": family})) for row in json.loads(text)]


def _read_count(published: str) -> tuple[int, int]:
    """The count and the worth of its last digit."""
    match = _COUNT.fullmatch(published)
    assert match, f"not a parameter count: {published!r}"
    last_digit = _UNITS[match["unit"]] // 10 ** len(match["decimals"] or "")
    return int(re.sub(r"[,.]", "", match["digits"])) * last_digit, last_digit
