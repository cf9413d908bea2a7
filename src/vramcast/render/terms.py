"""The terms that are worth showing, in the order of every picture."""

from collections.abc import Iterable

from vramcast.domain.forecast import Category, Term

_ORDER = {category: place for place, category in enumerate(Category)}


def terms_in_order(terms: Iterable[Term]) -> list[Term]:
    """Terms that are not empty, by category in the fixed order, the largest of a category first."""
    return sorted((term for term in terms if term.bytes), key=lambda term: (_ORDER[term.category], -term.bytes))
