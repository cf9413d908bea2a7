"""What the documentation shows is what the commands print."""

import re
from difflib import unified_diff
from pathlib import Path

import pytest

from tests.docs.console import ROOT, pages, rewritten

LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_output_shown_is_the_output_printed(page: Path) -> None:
    """Every command and every line of Python gives what stands below it (`make docs` rewrites the page)."""
    shown = page.read_text(encoding="utf-8")
    now = rewritten(shown)
    assert shown == now, "\n".join(unified_diff(shown.splitlines(), now.splitlines(), "shown", "printed", lineterm=""))


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of the page names a file of the project."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_a_changed_number_is_found_and_put_right() -> None:
    """Output that was true once is replaced, and what was left out stays left out."""
    page = "```console\n$ vramcast dtypes bf16\n{}\n...\n```\n"
    right = rewritten(page.format("?"))
    assert "bf16" in right.splitlines()[2].lower()
    assert rewritten(right) == right
    assert right.splitlines()[3:] == ["...", "```"]


def test_a_passage_that_is_gone_is_an_error() -> None:
    """A passage that no command prints is not passed over in silence."""
    with pytest.raises(LookupError, match="no such line"):
        rewritten("```console\n$ vramcast dtypes bf16\n...\nno such line\n...\n```\n")
