"""Errors by group: engine, source, method and tier; a group's median, 90th percentile, worst, bias and right verdicts."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from ledger.published.forecasts import Apart
from ledger.published.row import HERE

RECORDED = HERE / "recorded.json"
ALL = "all, certainty A"
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """
    How far one engine is from the rows of one source, method and tier.

    `middle`, `p90` and `worst` are of |predicted - measured| / measured; `bias` is the median with its sign; `furthest` the
    row of the worst. `right` of `judged` verdicts are what happened. A tier of "" counts runs of which the outcome alone is
    known.
    """

    engine: str
    source: str
    method: str
    tier: str
    rows: int
    middle: float
    p90: float
    worst: float
    bias: float
    furthest: str
    right: int
    judged: int

    @property
    def key(self) -> Key:
        """What makes two groups the same."""
        return self.engine, self.source, self.method, self.tier


def grouped(found: Iterable[Apart]) -> tuple[Group, ...]:
    """One group a source, method and tier, then those of all sources' complete rows; marked rows are not counted."""
    buckets: dict[Key, list[Apart]] = defaultdict(list)
    for one in found:
        if one.row.marked:
            continue
        tier = one.measured.tier if one.measured else ""
        buckets[one.engine, one.row.group, one.row.method, tier].append(one)
        if one.row.certainty == "A":
            buckets[one.engine, ALL, one.row.method, tier].append(one)
    return tuple(_group(key, buckets[key]) for key in sorted(buckets, key=lambda key: (key[1] == ALL, key)))


def _group(key: Key, found: list[Apart]) -> Group:
    engine, source, method, tier = key
    errors = sorted(abs(one.error) for one in found)
    judged = [one.right for one in found if one.right is not None]
    return Group(
        engine=engine,
        source=source,
        method=method,
        tier=tier,
        rows=len(found),
        middle=median(errors),
        p90=errors[ceil(0.9 * len(errors)) - 1],
        worst=errors[-1],
        bias=median(one.error for one in found),
        furthest=max(found, key=lambda one: abs(one.error)).row.id if tier else "",
        right=sum(judged),
        judged=len(judged),
    )


def read_recorded(path: Path = RECORDED) -> dict[Key, Group]:
    """The groups as they were recorded last; none if nothing was."""
    if not path.exists():
        return {}
    return {group.key: group for group in (Group(**plain) for plain in json.loads(path.read_text(encoding="utf-8")))}


def record(groups: Iterable[Group], path: Path = RECORDED) -> dict[Key, Group]:
    """Write these groups down in place of what their engines had, and read them back; another engine's groups stay."""
    fresh = {group.key: group for group in groups}
    engines = {engine for engine, *_ in fresh}
    kept = {key: group for key, group in read_recorded(path).items() if key[0] not in engines}
    text = json.dumps([_plain(group) for group in (kept | fresh).values()], indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return read_recorded(path)


def _plain(group: Group) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(group).items()}


def worse(groups: Iterable[Group], recorded: Mapping[Key, Group], slack: float = 1e-6) -> tuple[str, ...]:
    """Each group whose median or worst is larger than what was recorded, or which nobody recorded, in words."""
    found = []
    for group in groups:
        before = recorded.get(group.key)
        if before is None:
            found.append(f"{' '.join(group.key)}: not recorded")
            continue
        for what, now, then in (("median", group.middle, before.middle), ("worst", group.worst, before.worst)):
            if now > then + slack:
                found.append(f"{' '.join(group.key)}: {what} {then:.3%} became {now:.3%}")
    return tuple(found)
