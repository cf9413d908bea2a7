"""The software that runs the step: part of the question, printed with the answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """
    Versions and implementation choices of one framework.

    Attributes:
        name, version: the framework whose defaults apply; checked: the date they were read; source: where.
        versions: (package, version) pairs that the rules assume.
        defaults: (option, value) pairs this framework sets when the user does not, as words of `TrainRun`.
        kept_workspace: cuBLAS keeps one workspace per handle and stream (torch ≤ 2.14); else one per call.
        expandable_segments: the allocator maps pages on demand instead of taking whole segments.
    """

    name: str
    version: str
    checked: str
    source: str
    versions: tuple[tuple[str, str], ...]
    defaults: tuple[tuple[str, str], ...]
    kept_workspace: bool = True
    expandable_segments: bool = False

    def default(self, option: str) -> str | None:
        """The framework's value for `option`, None where it has no opinion."""
        return dict(self.defaults).get(option)
