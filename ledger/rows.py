"""A measured step as one line of JSON: what was run, on what, and what it held."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Kernels,
    Loss,
    Method,
    Offload,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    TrainRun,
)

LEDGER = Path(__file__).parent / "gpu.jsonl"
_WORDS = {
    "method": Method,
    "precision": Precision,
    "optimizer": Optimizer,
    "recompute": Recompute,
    "attention": AttentionKernel,
    "loss": Loss,
    "kernels": Kernels,
    "offload": Offload,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The device as torch names it, its memory in bytes, and what a process takes there before its first tensor."""

    name: str
    memory: int
    context: int = 0
    capability: tuple[int, int] | None = None
    multiprocessors: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The most that a phase held, in bytes: live tensors, the allocator's segments, the process (at its end)."""

    phase: str
    name: str
    allocated: int
    reserved: int
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case measured, or the reason why not."""

    case: str
    config: Mapping[str, Any]
    run: TrainRun
    stack: str
    card: Card
    versions: Mapping[str, str]
    readings: tuple[Reading, ...] = ()
    seconds: float = 0.0
    snapshot: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two rows the same measurement: the case, the device and the software."""
        return self.case, self.card.name, tuple(sorted(self.versions.items()))

    def peak(self, tier: str) -> int:
        """The most of a tier over all phases of the steps."""
        return max(int(getattr(reading, tier)) for reading in self.readings)


def append(path: Path, row: Row) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(written(row), separators=(",", ":")) + "\n")


def read(path: Path) -> Iterator[Row]:
    """Every line of the file; none if there is no file."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield row_of(json.loads(line))


def written(row: Row) -> dict[str, Any]:
    """Plain data; a number format is its name."""
    plain = asdict(row)
    if row.run.quantization is not None:
        plain["run"]["quantization"]["format"] = row.run.quantization.format.name
    return plain


def row_of(plain: Mapping[str, Any]) -> Row:
    """What `written` wrote."""
    card = plain["card"]
    capability = tuple(card["capability"]) if card["capability"] else None
    rest = {one.name: plain[one.name] for one in fields(Row)}
    readings = tuple(Reading(**one) for one in plain["readings"])
    return Row(
        **rest | {"card": Card(**card | {"capability": capability}), "run": _run(plain["run"]), "readings": readings}
    )


def _run(plain: Mapping[str, Any]) -> TrainRun:
    run = dict(plain) | {name: kind(plain[name]) for name, kind in _WORDS.items()}
    if run["adapter"]:
        names = {name: tuple(run["adapter"][name]) for name in ("targets", "modules_to_save")}
        run["adapter"] = Adapter(**run["adapter"] | names)
    if run["quantization"]:
        run["quantization"] = Quantization(
            **run["quantization"] | {"format": find_format(run["quantization"]["format"])}
        )
    return TrainRun(**run)
