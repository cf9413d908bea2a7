"""The exact text of `vramcast dtypes`."""

import pytest
from syrupy.assertion import SnapshotAssertion

from vramcast.catalog.number_formats import all_formats, find_format
from vramcast.render.dtypes import format_page, formats_table


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table(width: int, snapshot: SnapshotAssertion) -> None:
    """The table at three widths: a figure that moves is seen here."""
    assert formats_table(all_formats(), width=width, color=False) == snapshot


@pytest.mark.parametrize("name", ["tf32", "nf4-dq"])
def test_page(name: str, snapshot: SnapshotAssertion) -> None:
    """The page of a float and of a codebook with scales."""
    assert format_page(find_format(name), width=80, color=False) == snapshot
