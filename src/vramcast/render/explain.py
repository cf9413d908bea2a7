"""The derivation of a forecast: every formula with letters, with numbers, in bytes."""

from collections.abc import Iterable, Mapping, Sequence

from vramcast.domain.forecast import Category, Forecast, Instant, Term
from vramcast.render.assumed import assumed_lines, unmodelled_lines
from vramcast.render.changes import changes_lines
from vramcast.render.derivation import SIZE, sized, term_lines
from vramcast.render.formula import number
from vramcast.render.letters import LETTERS, known_values, letters_in
from vramcast.render.numbers import gib_cell
from vramcast.render.palette import LOOKS
from vramcast.render.style import Style
from vramcast.render.terminal import headline_lines, tiers_lines
from vramcast.render.terms import terms_in_order
from vramcast.render.width import flow, ljust, rjust, width_of, wrap

STATIC = (Category.PARAMETERS, Category.OPTIMIZER_STATES)
OUTSIDE = (Category.WORKSPACE, Category.RUNTIME, Category.FRAGMENTATION, Category.UNEXPLAINED)
DYNAMIC = tuple(category for category in Category if category not in (*STATIC, *OUTSIDE))
_GROUPS = (
    ("static: held throughout", STATIC),
    ("dynamic: comes and goes while it runs", DYNAMIC),
    ("libraries, process and allocator", OUTSIDE),
)
_INDENT = "  "


def explain_text(forecast: Forecast, style: Style, changes: Sequence[tuple[str, Forecast]] = ()) -> str:
    """
    The derivation as text.

    Letters, the terms at the peak, those of other moments, the moments that competed, the tiers, what would lower the need
    (`changes`: flags, and the forecast that follows), what was assumed.
    """
    elsewhere = _elsewhere(forecast)
    shown = [*terms_in_order(forecast.terms), *elsewhere]
    known = known_values(forecast.model, shown)
    parts = [headline_lines(forecast, style), _legend(shown, known, style)]
    for title, categories in _GROUPS:
        terms = [term for term in shown[: len(shown) - len(elsewhere)] if term.category in categories]
        parts.append(_group(title, terms, known, style))
    parts += [_others(elsewhere, known, style), _instants(forecast, style)]
    parts += [[*_title("the three tiers", "", style), *tiers_lines(forecast, style)]]
    parts += [changes_lines(forecast, changes, style)]
    parts += [assumed_lines(forecast.assumptions, style), unmodelled_lines(forecast.unmodelled, style)]
    return style.finish([line for part in parts if part for line in ("", *part)][1:])


def _elsewhere(forecast: Forecast) -> list[Term]:
    """Terms of other instants that the peak does not hold, each once, at its largest."""
    held = {(term.category, term.label) for term in forecast.terms}
    others: dict[tuple[str, str], Term] = {}
    for term in (term for instant in forecast.instants for term in instant.terms):
        key = (term.category, term.label)
        if key not in held and term.bytes > (others[key].bytes if key in others else 0):
            others[key] = term
    return terms_in_order(others.values())


def _title(text: str, size: str, style: Style) -> list[str]:
    line = f"{ljust(style.say(text), style.width - len(size))}{size}"
    return [style.bold(line.rstrip()), style.dim("─" * style.width)]


def _legend(terms: Sequence[Term], known: Mapping[str, float], style: Style) -> list[str]:
    formulas = [formula for term in terms for formula in (term.formula, *(part.formula for part in term.parts))]
    letters = letters_in(formulas)
    values = [number(known[letter]) if letter in known else "" for letter in letters]
    left = max(map(width_of, letters)) + 2
    room = style.width - len(_INDENT) - left - max(map(len, values))
    lines = _title("letters", "", style)
    for letter, value in zip(letters, values, strict=True):
        first, *rest = wrap(style.say(LETTERS[letter]), room - 2)
        right = style.width - len(_INDENT) - left - room
        lines.append(f"{_INDENT}{ljust(letter, left)}{ljust(first, room)}{rjust(value, right)}")
        lines += [f"{_INDENT}{' ' * left}{line}" for line in rest]
    return lines


def _group(title: str, terms: Sequence[Term], known: Mapping[str, float], style: Style) -> list[str]:
    """The terms of some categories at the peak, with sums."""
    if not terms:
        return []
    lines = _title(title, f"{gib_cell(sum(term.bytes for term in terms))} GiB", style)
    for category, own in _split(terms).items():
        head = _category(category, style)
        total = rjust(
            gib_cell(sum(term.bytes for term in own)), style.width - len(_INDENT) - width_of(style.say(category))
        )
        lines += ["", f"{head}{style.bold(total)}", *(line for term in own for line in term_lines(term, known, style))]
    return lines


def _others(terms: Sequence[Term], known: Mapping[str, float], style: Style) -> list[str]:
    """Terms that do not add up, since they live at different moments."""
    if not terms:
        return []
    lines = _title("alive at other moments, not at the peak", "", style)
    for category, own in _split(terms).items():
        lines += ["", _category(category, style), *(line for term in own for line in term_lines(term, known, style))]
    return lines


def _split(terms: Iterable[Term]) -> dict[Category, list[Term]]:
    own: dict[Category, list[Term]] = {}
    for term in terms:
        own.setdefault(term.category, []).append(term)
    return own


def _category(category: Category, style: Style) -> str:
    look = LOOKS[category]
    glyph = look.ascii if style.ascii else look.glyph
    return f"{style.tint(glyph, look.color)} {style.bold(style.say(category))}"


def _instants(forecast: Forecast, style: Style) -> list[str]:
    lines = _title("moments that competed for the peak: all live tensors", "GiB", style)
    for instant in forecast.instants:
        peak = instant is forecast.peak
        head, *rest = sized(
            style.say(instant.name), gib_cell(instant.allocated), style, first="▸ " if peak else _INDENT
        )
        lines += [style.bold(head) if peak else head, *rest]
        rows = flow(_summands(instant, style), style.width - SIZE, gap=" + ", indent=_INDENT * 3)
        lines += [f"{_INDENT * 2}{'+ ' if index else ''}{' + '.join(row)}" for index, row in enumerate(rows)]
    return lines


def _summands(instant: Instant, style: Style) -> list[str]:
    own = _split(terms_in_order(instant.terms)).items()
    return [f"{style.say(category)} {gib_cell(sum(term.bytes for term in terms))}" for category, terms in own]
