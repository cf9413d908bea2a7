"""What would lower the need, in a derivation."""

import pytest

from vramcast.cli.run import run
from vramcast.render.changes import TITLE


def test_each_change_with_what_it_saves(capsys: pytest.CaptureFixture[str]) -> None:
    """Flags, GiB saved and the new need, the one that saves most first."""
    assert run(["explain", "llama-3.1-8b", "--method", "full", "--stack", "torch", "--gpu", "a100-80gb"]) == 0
    section = capsys.readouterr().out.partition(TITLE)[2].partition("\n\n")[0].splitlines()[2:]
    saved = [float(line.split("−")[1].split()[0]) for line in section]
    assert len(saved) >= 3 and saved == sorted(saved, reverse=True) and min(saved) > 0
    assert section[0].split()[:2] == ["--method", "qlora"] and section[0].endswith("fits")
    assert any("--optimizer adamw-8bit" in line for line in section)


def test_nothing_lower_is_nothing_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no single change saves anything, the section is left out."""
    words = "explain llama-3.1-8b --method qlora --seq-len 512 --optimizer adamw-8bit --recompute full"
    assert run(words.split()) == 0
    assert TITLE not in capsys.readouterr().out
