"""A published measurement as one line of JSON: what was run, what its source says of it, and what was read there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS = HERE / "rows"


class Tier(StrEnum):
    """
    What a number counts.

    `allocated`, `reserved` and `process` are the forecast's own; `allocated+context` is live tensors and what the process
    holds outside the allocator; `unknown`: the source does not say. `weights` and `cache` are one part of a run alone.
    """

    ALLOCATED = "allocated"
    RESERVED = "reserved"
    PROCESS = "process"
    ALLOCATED_CONTEXT = "allocated+context"
    UNKNOWN = "unknown"
    WEIGHTS = "weights"
    CACHE = "cache"


PARTS = (Tier.WEIGHTS, Tier.CACHE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes of one tier; `published` is the number as printed, `read_as` how its unit was read and by what right."""

    tier: Tier
    bytes: int
    published: str
    read_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    One run that somebody measured.

    Attributes:
        id: its name here; `source` is where it was published; `certainty` how complete its configuration is there: A
            everything needed is said, B one thing is not, C several.
        model: a name of the catalog or of `models.json`; `published_model` as the source calls it.
        stack: a name of `stacks.json`: the software's choices, which options that are neither stated nor assumed follow.
        device: a name of the catalog's devices, empty if the source has none; `gpu` as the source calls it.
        mesh: devices of each kind of parallelism; `{}` is one device.
        stated: options of `vramcast.predict` that the source says; `assumed`: those that it leaves open, with the reason.
        measured: what was read; none for a run that failed.
        failed: it ran out of memory on the device.
        marked: why the row's own numbers contradict each other; such a row is shown and not counted.
    """

    id: str
    source: str
    certainty: str
    model: str
    published_model: str
    stack: str
    device: str
    gpu: str
    mesh: Mapping[str, int]
    stated: Mapping[str, Any]
    assumed: Mapping[str, tuple[Any, str]]
    measured: tuple[Measured, ...]
    failed: bool = False
    marked: str = ""

    @property
    def group(self) -> str:
        """The source's short name: the first word of the id."""
        return self.id.split("-")[0]

    @property
    def method(self) -> str:
        """`full`, `lora`, `qlora` or `serve`."""
        return str(self.options["method"])

    @property
    def options(self) -> dict[str, Any]:
        """What `vramcast.predict` is asked: stated and assumed together."""
        return {**self.stated, **{name: value for name, (value, _) in self.assumed.items()}}

    @property
    def part(self) -> bool:
        """Whether a part of a run was measured alone, which says nothing of what fits."""
        return any(one.tier in PARTS for one in self.measured)

    @property
    def complete(self) -> bool:
        """Whether the source says every option that the question needs."""
        return not self.assumed


def read_rows(folder: Path = ROWS) -> tuple[Published, ...]:
    """Every line of every file, in the order of the files' names."""
    return tuple(row for path in sorted(folder.glob("*.jsonl")) for row in _lines(path))


def _lines(path: Path) -> Iterator[Published]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield row_of(json.loads(line))


def row_of(plain: Mapping[str, Any]) -> Published:
    """
    The row that a line's data holds; what is not there keeps its default.

    Raises:
        TypeError: a name that no field has, or a field without a value.
        ValueError: a tier of no known kind.
    """
    known = {one.name for one in fields(Published)}
    measured = tuple(Measured(**{**one, "tier": Tier(one["tier"])}) for one in plain["measured"])
    assumed = {name: (value, reason) for name, (value, reason) in plain["assumed"].items()}
    unknown = sorted(set(plain) - known)
    if unknown:
        raise TypeError(f"a row has no {unknown[0]!r}")
    return Published(**{**plain, "measured": measured, "assumed": assumed})
