"""Entries: what the kernels of an operator take for themselves, with formula, source and exactness."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vramcast.domain.exactness import Exactness
from vramcast.trace.kernels.call import Call
from vramcast.trace.kernels.target import Hidden

Take = Callable[[Call], Sequence[Hidden]]
_SECTION = re.compile(r"^(Formula|Source|Exactness|Ignores):\s+", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One line of the table of kernels.

    Attributes:
        name: for `Target.off`.
        operators: names of operators, such as `aten.mm.default`.
        what, formula, source, exactness, ignores: from the docstring of `take`.
        take: what one call takes.
    """

    name: str
    operators: tuple[str, ...]
    what: str
    formula: str
    source: str
    exactness: Exactness
    ignores: str
    take: Take


def entry(name: str, *operators: str) -> Callable[[Take], Entry]:
    """Make an entry of a function whose docstring has the sections Formula, Source, Exactness and perhaps Ignores."""

    def made(take: Take) -> Entry:
        what, *sections = _SECTION.split(inspect.getdoc(take) or "")
        said = dict(zip(sections[::2], (" ".join(text.split()) for text in sections[1::2]), strict=True))
        return Entry(
            name=name,
            operators=operators,
            what=" ".join(what.split()),
            formula=said.get("Formula", ""),
            source=said.get("Source", ""),
            exactness=Exactness(said.get("Exactness", "unknown")),
            ignores=said.get("Ignores", ""),
            take=take,
        )

    return made
