"""The ledger's table: what is recorded holds, groups are what they say, and a worse one is found."""

from dataclasses import replace
from pathlib import Path

import pytest
from ledger.published.__main__ import PAGE, main
from ledger.published.forecasts import Apart, Refused, compare
from ledger.published.row import Measured, Published, Tier, read_rows
from ledger.published.summary import ALL, grouped, read_recorded, record, worse

from vramcast.domain.forecast import Engine

ROWS = read_rows()
FOUND = list(compare(ROWS, Engine.RULES))
ANSWERS = [one for one in FOUND if isinstance(one, Apart)]


def _apart(predicted: int, *, measured: int = 100, fits: bool | None = None, **changes: object) -> Apart:
    row = replace(
        ROWS[0],
        id="made-1",
        certainty="B",
        measured=(Measured(tier=Tier.ALLOCATED, bytes=measured, published="", read_as=""),),
        **changes,
    )
    return Apart(row=row, engine=Engine.RULES, measured=row.measured[0], predicted=predicted, fits=fits)


def test_no_group_is_worse_than_recorded() -> None:
    """Neither the median nor the worst of a group grew. If a change is right all the same: make ledger, and commit its table."""
    assert worse(grouped(ANSWERS), read_recorded()) == ()


def test_at_least_400_rows_are_answered() -> None:
    """The closed forms have an answer to 400 rows, and say why to the others."""
    assert len({one.row.id for one in ANSWERS}) >= 400
    assert all(one.reason for one in FOUND if isinstance(one, Refused))


def test_parts_are_exact_to_their_rounding() -> None:
    """Caches are those that were measured, to the two decimals that their sources print."""
    caches = [one for one in ANSWERS if one.measured and one.measured.tier is Tier.CACHE]
    assert len(caches) >= 30
    for one in caches:
        assert abs(one.error) < 0.001, one.row.id


def test_a_group_by_hand() -> None:
    """Errors of +10 %, -20 % and +40 %: the median is 20 %, the 90th percentile and the worst 40 %, the bias +10 %."""
    found = [_apart(110, fits=True), _apart(80, fits=False), _apart(140)]
    (group,) = grouped(found)
    assert (group.rows, group.right, group.judged) == (3, 1, 2)
    assert (group.middle, group.p90, group.worst, group.bias) == pytest.approx((0.2, 0.4, 0.4, 0.1))


def test_a_marked_row_is_not_counted() -> None:
    """A row that contradicts itself is in no group."""
    assert grouped([_apart(500, marked="twice what its neighbours have")]) == ()


def test_complete_rows_are_counted_again_together() -> None:
    """The groups of all complete rows hold as many numbers as the complete rows have."""
    complete = [one for one in ANSWERS if one.row.certainty == "A" and not one.row.marked]
    assert sum(group.rows for group in grouped(ANSWERS) if group.source == ALL) == len(complete)


def test_a_worse_group_is_found() -> None:
    """A larger median, a larger worst and a group that nobody recorded are each named; a smaller error is none."""
    (before,) = grouped([_apart(110), _apart(120)])
    recorded = {before.key: before}
    assert worse([before], recorded) == ()
    assert worse([replace(before, middle=0.1, worst=0.15)], recorded) == ()
    assert "median" in worse([replace(before, middle=0.16)], recorded)[0]
    assert "worst" in worse([replace(before, worst=0.3)], recorded)[0]
    assert "not recorded" in worse([replace(before, source="new")], recorded)[0]


def test_recording_one_engine_keeps_the_other(tmp_path: Path) -> None:
    """Writing the closed forms' groups leaves the trace's, and drops a group of the closed forms that is gone."""
    (group,) = grouped([_apart(110)])
    traced, gone = replace(group, engine="trace"), replace(group, source="gone")
    path = tmp_path / "recorded.json"
    assert set(record([traced, gone], path)) == {traced.key, gone.key}
    assert set(record([group], path)) == {traced.key, group.key}
    assert read_recorded(path)[group.key].middle == pytest.approx(group.middle)


def test_a_verdict_is_right_if_it_happened() -> None:
    """A run that failed and is said not to fit is right, one that is said to fit is wrong; without a device there is none."""
    assert _apart(1, fits=False, failed=True).right is True
    assert _apart(1, fits=True, failed=True).right is False
    assert _apart(1, fits=True).right is True
    assert _apart(1).right is None


def test_the_page_shows_every_group() -> None:
    """Each recorded group is a line of docs/ledger.md, with the errors that are recorded."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for group in read_recorded().values():
        start = f"| {group.source} | {group.method} | {group.tier} | {group.rows} |"
        assert (
            any(line.startswith(start) and f"{group.worst:.2%}" in line for line in lines if group.tier)
            or not group.tier
        )


def test_rows_of_a_source_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """--source prints each number of its rows and writes nothing."""
    before = PAGE.read_bytes()
    assert main(["--source", "peft"]) == 0
    assert capsys.readouterr().out.count("GiB measured") == 3
    assert PAGE.read_bytes() == before


def test_an_unanswered_row_is_refused() -> None:
    """What no rule covers is said, not left out."""
    row: Published = replace(ROWS[0], model="no-such-model-at-all")
    (one,) = compare([row], Engine.RULES)
    assert isinstance(one, Refused) and "no-such-model" in one.reason
