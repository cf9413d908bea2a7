"""Well-known models: the facts of their configurations, their published sizes, and where both come from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data" / "models"
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
    return tuple(row for path in sorted(_DATA.glob("*.json")) for row in _family(path))


def find_model_row(name: str) -> ModelRow | None:
    """The model of this name or alias, whatever its case; None if the catalog has none."""
    return _by_name().get(name.strip().lower())


@cache
def _by_name() -> dict[str, ModelRow]:
    return {word.lower(): row for row in all_rows() for word in (row.name, *row.aliases)}


def _family(path: Path) -> list[ModelRow]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [ModelRow(**(row | {"aliases": tuple(row["aliases"]), "family": path.stem})) for row in rows]


def _read_count(published: str) -> tuple[int, int]:
    """The count and the worth of its last digit."""
    match = _COUNT.fullmatch(published)
    assert match, f"not a parameter count: {published!r}"
    last_digit = _UNITS[match["unit"]] // 10 ** len(match["decimals"] or "")
    return int(re.sub(r"[,.]", "", match["digits"])) * last_digit, last_digit
