"""Gradients as they come into being."""

from vramcast.domain.forecast import Category, Phase
from vramcast.rules.gradients import accumulation, gradients


def test_gradients_have_the_type_of_their_parameters() -> None:
    """s·Φ_done, under the name of the moment."""
    term = gradients(1_000_000, 2, Phase.BACKWARD)
    assert (term.bytes, term.category, term.phase, term.label) == (
        2_000_000,
        Category.GRADIENTS,
        Phase.BACKWARD,
        "gradients",
    )
    assert gradients(1_000_000, 4, Phase.RESIDENT, "accumulated gradients").bytes == 4_000_000


def test_a_fresh_gradient_lies_beside_the_accumulated_one() -> None:
    """One tensor at a time is added in place: the largest is the worst."""
    term = accumulation(5000, 4)
    assert (term.bytes, term.category, term.phase) == (20_000, Category.TEMPORARY, Phase.BACKWARD)
