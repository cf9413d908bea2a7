"""
Gradients of what is trained.

Letters: Φ_t trainable parameters, s bytes an element.
"""

from vramcast.domain.forecast import Category, Phase, Term


def gradients(count: int, itemsize: int, phase: Phase, label: str = "gradients") -> Term:
    """
    Gradients that exist at some moment, in the type of the parameters they belong to.

    Formula:  s · Φ_done, the trainable parameters whose backward has run; all of them from the last block's on
    Source:   torch accumulate_grad.h (the first gradient is taken over, not copied); zero_grad sets them to None.
    Ignores:  gradients of untouched experts.
    """
    return Term(
        bytes=itemsize * count,
        category=Category.GRADIENTS,
        label=label,
        phase=phase,
        formula="s·Φ_done",
        values=(("s", itemsize), ("Φ_done", count)),
        source="torch accumulate_grad.h",
        ignores="512-byte rounding of each tensor",
    )


def accumulation(count: int, itemsize: int) -> Term:
    """
    The fresh gradient that lies beside the accumulated one when micro-batches are summed.

    Formula:  s · Φ_fresh, the elements of the tensor that has just been made
    Source:   torch accumulate_grad.h (`variable_grad += new_grad` in place).
    """
    return Term(
        bytes=itemsize * count,
        category=Category.TEMPORARY,
        label="fresh gradient beside the accumulated one",
        phase=Phase.BACKWARD,
        formula="s·Φ_fresh",
        values=(("s", itemsize), ("Φ_fresh", count)),
        source="torch accumulate_grad.h",
    )
