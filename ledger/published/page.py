"""docs/ledger.md: published measurements beside the forecasts, as a table by source, and what is left out and why."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from ledger.published.forecasts import Apart, Refused
from ledger.published.row import HERE, Published
from ledger.published.summary import Group

LEFT_OUT = HERE / "left_out.jsonl"
NAMES = HERE / "sources.json"
MISSES = HERE / "misses.md"

INTRODUCTION = """\
<!-- Written by `make ledger`; edit ledger/published/page.py. -->

# The ledger: what others measured

{rows} runs that others measured and published, each predicted from its configuration alone; {complete} of them say everything that is
needed (certainty A). No number of vramcast was fitted to a row. `make ledger` computes this page again, and a test fails if the median
or the worst of a group becomes larger than what is written here.

The error is (predicted - measured) / measured. Medians, the 90th percentile and the worst are of its size, the bias is the median with
its sign. *Verdicts* counts the runs on a known device for which "fits" or "does not fit" is what happened. A row with `allocated` and
`process` was measured twice, by torch and by nvidia-smi. `unknown` means that the source does not say what it read; it is held against the
process. `cache` and `weights` are parts of a run. Rows without a tier are runs of which the outcome alone is known.
"""
HEAD = """
| source | method | tier | rows | median | 90 % | worst | bias | verdicts | worst row |
|---|---|---|---|---|---|---|---|---|---|
"""


def page(rows: Sequence[Published], found: Sequence[Apart | Refused], groups: Iterable[Group]) -> str:
    """
    The whole page: the groups of every engine, why some miss, verdicts that are wrong, refused and marked rows, and what is left out.

    `found` are the closed forms' answers, which the lists below the tables are made of.
    """
    complete = sum(row.certainty == "A" for row in rows)
    parts = [INTRODUCTION.format(rows=len(rows), complete=complete)]
    by_engine: dict[str, list[Group]] = {}
    for group in groups:
        by_engine.setdefault(group.engine, []).append(group)
    for engine, some in by_engine.items():
        parts += [f"\n## By source: {engine}\n", HEAD, *map(_line, some)]
    parts += [
        "\n",
        MISSES.read_text(encoding="utf-8"),
        _wrong(found),
        _refused(found),
        _marked(rows),
        _sources(),
        _left_out(),
    ]
    return "".join(parts)


def _line(group: Group) -> str:
    numbers = [f"{value:.2%}" for value in (group.middle, group.p90, group.worst)] + [f"{group.bias:+.2%}"]
    if not group.tier:
        numbers = ["", "", "", ""]
    verdicts = f"{group.right}/{group.judged}" if group.judged else ""
    cells = (group.source, group.method, group.tier, str(group.rows), *numbers, verdicts, group.furthest)
    return f"| {' | '.join(cells)} |\n"


def _wrong(found: Iterable[Apart | Refused]) -> str:
    answers = [one for one in found if isinstance(one, Apart) and not one.row.marked]
    judged = {one.row.id: one for one in answers if one.right is not None}
    wrong = [one for one in judged.values() if not one.right]
    failed = sum(one.row.failed for one in judged.values())
    lines = [
        f"- {one.row.id}: {'predicted to fit, and it failed' if one.fits else 'predicted not to fit, and it ran'} "
        f"on {one.row.gpu}\n"
        for one in wrong
    ]
    return (
        f"\n## Verdicts\n\nOf {len(judged)} runs on known devices, {failed} of which failed there, "
        f"{len(judged) - len(wrong)} are what was predicted. The others:\n\n{''.join(lines)}"
    )


def _refused(found: Iterable[Apart | Refused]) -> str:
    counts = Counter((one.row.group, one.reason) for one in found if isinstance(one, Refused))
    lines = [f"- {source}, {count} rows: {reason}\n" for (source, reason), count in counts.items()]
    return f"\n## Refused by the closed forms\n\n{''.join(lines)}"


def _marked(rows: Iterable[Published]) -> str:
    lines = [f"- {row.id} ({row.measured[0].published}): {row.marked}\n" for row in rows if row.marked]
    return f"\n## Marked: the row's own numbers contradict each other\n\nNot counted above.\n\n{''.join(lines)}"


def _sources() -> str:
    names = json.loads(NAMES.read_text(encoding="utf-8"))
    lines = [f"- **{short}**: {name}\n" for short, name in names.items()]
    return f"\n## Sources\n\n{''.join(lines)}"


def left_out() -> tuple[dict[str, str], ...]:
    """The published rows that no row here was made of, each with its source and the reason."""
    return tuple(json.loads(line) for line in LEFT_OUT.read_text(encoding="utf-8").splitlines())


def _left_out() -> str:
    rows = left_out()
    counts = Counter((row["source"], row["reason"]) for row in rows)
    lines = [f"| {source} | {count} | {reason} |\n" for (source, reason), count in sorted(counts.items())]
    head = f"\n## Left out\n\n{len(rows)} published rows are not in the tables.\n\n| source | rows | reason |\n|---|---|---|\n"
    return head + "".join(lines)
