"""The pages about the trace show what its commands and entries say."""

from tests.docs.console import ROOT, rewritten
from tests.trace.kernel_table import table

FOLDER = ROOT / "docs" / "trace"


def test_the_output_shown_is_the_output_printed() -> None:
    """The command of the page gives what stands below it (`make docs` rewrites it)."""
    shown = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "\nfits NVIDIA" in shown
    assert rewritten(shown) == shown


def test_the_table_of_kernels_is_the_entries() -> None:
    """Each entry's words stand in the page as they stand in the code."""
    assert (FOLDER / "kernels.md").read_text(encoding="utf-8") == table()
