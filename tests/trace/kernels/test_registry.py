"""The table of kernels."""

import bitsandbytes  # noqa: F401 - registers its operators
import pytest
import torch

from tests.trace.kernels.calls import A100, empty, ops, taken
from vramcast.domain.exactness import Exactness
from vramcast.trace.kernels import entries
from vramcast.trace.kernels.call import Signature
from vramcast.trace.kernels.target import Target

OPERATORS = sorted({name for entry in entries() for name in entry.operators})


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_exists(name: str) -> None:
    """Each registered name is an operator of torch or bitsandbytes, spelled as it prints."""
    space, packet, overload = name.split(".")
    operator = getattr(getattr(getattr(torch.ops, space), packet), overload)
    assert str(operator) == name


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_entry_says_where_it_is_from(entry) -> None:  # noqa: ANN001
    """Formula, a source with a file and a version, and an exactness that is claimed."""
    assert entry.what.endswith(".")
    assert entry.formula
    assert "/" in entry.source and "(" in entry.source
    assert entry.exactness in {Exactness.EXACT, Exactness.MODELLED}


def test_names_are_different() -> None:
    """An entry's name switches that entry alone."""
    names = [entry.name for entry in entries()]
    assert len(names) == len(set(names))


def test_off() -> None:
    """An entry that is off takes nothing, and others of the same operator stay."""
    matrix = empty(64, 64)[::2, ::2]
    both = taken(ops.mm.default, matrix, matrix)
    off = Target(None, None, (2, 13), kept_workspace=True, off=frozenset({"gemm workspace"}))
    rest = taken(ops.mm.default, matrix, matrix, target=off)
    assert len(both) == 3
    assert list(rest) == list(both[1:])


def test_other_operators_take_nothing() -> None:
    """An operator without an entry has nothing hidden, each time it is asked."""
    for _ in range(2):
        assert taken(ops.add.Tensor, empty(4), empty(4)) == ()
        assert taken(ops.native_dropout.default, empty(4), 0.1, True) == ()


def test_signature_knows_defaults_and_order() -> None:
    """Arguments are found by name: given in order, by keyword, or left out."""
    signature = Signature.of(ops.sort.stable)
    assert signature.name == "aten.sort.stable"
    assert signature.places == {"self": 0}
    assert signature.defaults["dim"] == -1


def test_an_unknown_device_is_an_a100() -> None:
    """Without capability and multiprocessors, figures are those of capability 8.0 with 108."""
    query, key = empty(1, 8, 1, 128), empty(1, 8, 8192, 128)
    unknown = Target(None, None, (2, 13), kept_workspace=True)
    operator = ops._scaled_dot_product_flash_attention.default
    assert taken(operator, query, key, key, target=unknown) == taken(operator, query, key, key, target=A100)
