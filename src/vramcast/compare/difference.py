"""One report minus another: which options differ, and what that did to each term."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from vramcast.domain.forecast import Category, Tiers
from vramcast.domain.report import Report, ReportTerm
from vramcast.domain.run_words import Plain

Kind = Literal["added", "removed", "grown", "shrunk", "same"]
_NUMBERS = re.compile(r"\d[\d.,]*")
_BRACKETS = re.compile(r"\s*\(.*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionChange:
    """An option of the question that differs; None where a run has no such option."""

    option: str
    before: Plain
    after: Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class TermChange:
    """
    What became of one term; `before` or `after` is None where only one report has it.

    `causes` are the letters of its formula whose values differ, with both values; none where the formula itself differs.
    """

    before: ReportTerm | None
    after: ReportTerm | None
    causes: tuple[tuple[str, float, float], ...] = ()

    @property
    def category(self) -> Category:
        """The category of the term, the same in both reports."""
        return self._any.category

    @property
    def label(self) -> str:
        """The term's name in the second report, or in the first where the second has it no more."""
        return self._any.label

    @property
    def delta(self) -> int:
        """Bytes after minus bytes before."""
        return (self.after.bytes if self.after else 0) - (self.before.bytes if self.before else 0)

    @property
    def kind(self) -> Kind:
        """What happened to the term."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "grown" if self.delta > 0 else "shrunk" if self.delta < 0 else "same"

    @property
    def _any(self) -> ReportTerm:
        term = self.after or self.before
        assert term is not None
        return term


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    Everything that differs between two reports.

    Raises:
        AssertionError: the changes do not sum to the difference of the process tiers. That is a bug.
    """

    before: Report
    after: Report
    options: tuple[OptionChange, ...]
    changes: tuple[TermChange, ...]

    def __post_init__(self) -> None:
        assert sum(change.delta for change in self.changes) == self.delta

    @property
    def delta(self) -> int:
        """Bytes of the process tier, after minus before."""
        return self.after.tiers.process - self.before.tiers.process

    def tier_deltas(self) -> dict[str, int]:
        """Bytes after minus before of allocated, reserved, process, low and high."""
        names = [field.name for field in fields(Tiers)]
        return {name: getattr(self.after.tiers, name) - getattr(self.before.tiers, name) for name in names}

    def by_category(self) -> dict[Category, int]:
        """Bytes after minus before by category, those that changed, in the fixed order."""
        sums = dict.fromkeys(Category, 0)
        for change in self.changes:
            sums[change.category] += change.delta
        return {category: size for category, size in sums.items() if size}


def difference(before: Report, after: Report) -> Difference:
    """`after` minus `before`, term by term."""
    return Difference(before=before, after=after, options=_options(before, after), changes=_changes(before, after))


def _options(before: Report, after: Report) -> tuple[OptionChange, ...]:
    first, second = _question(before), _question(after)
    names = dict.fromkeys((*first, *second))
    return tuple(
        OptionChange(option=name, before=first.get(name), after=second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    )


def _question(report: Report) -> dict[str, Plain]:
    """What was asked: model, device, stack, and the run's own options."""
    device = report.device.name if report.device else None
    stack = f"{report.stack.name}@{report.stack.version}"
    return {"model": report.model.name, "gpu": device, "stack": stack, "made_by": report.made_by, **report.run}


def _changes(before: Report, after: Report) -> tuple[TermChange, ...]:
    """Terms paired by name, then by name without numbers, then without what stands in brackets; the rest stands alone."""
    left = [term for term in before.terms if term.bytes]
    right = [term for term in after.terms if term.bytes]
    pairs: list[TermChange] = []
    for key in (_label, _without_numbers, _without_brackets):
        for term in list(left):
            twin = next((one for one in right if key(one) == key(term)), None)
            if twin is not None:
                left.remove(term)
                right.remove(twin)
                pairs.append(TermChange(before=term, after=twin, causes=_causes(term, twin)))
    pairs += [TermChange(before=term, after=None) for term in left]
    pairs += [TermChange(before=None, after=term) for term in right]
    return tuple(sorted(pairs, key=_place))


def _label(term: ReportTerm) -> tuple[str, str]:
    return term.category, term.label


def _without_numbers(term: ReportTerm) -> tuple[str, str]:
    return term.category, _NUMBERS.sub("#", term.label)


def _without_brackets(term: ReportTerm) -> tuple[str, str]:
    label = _BRACKETS.sub("", _NUMBERS.sub("#", term.label))
    return term.category, label.removeprefix("frozen ")


def _place(change: TermChange) -> tuple[int, int]:
    return list(Category).index(change.category), -abs(change.delta)


def _causes(before: ReportTerm, after: ReportTerm) -> tuple[tuple[str, float, float], ...]:
    if before.formula != after.formula:
        return ()
    return tuple(_differing(before.values, after.values))


def _differing(before: dict[str, int | float], after: dict[str, int | float]) -> Iterable[tuple[str, float, float]]:
    for letter, value in before.items():
        if letter in after and after[letter] != value:
            yield letter, value, after[letter]
