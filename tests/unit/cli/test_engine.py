"""`--engine` and `--exact`: wrong words, a base install, and what a watcher sees."""

import io
import subprocess
import sys
from threading import Event

import pytest

from vramcast.cli import progress
from vramcast.cli.progress import shown_progress
from vramcast.cli.run import run

SECONDS = 30  # in which something must be shown
BLOCKED = """
import sys
sys.modules["torch"] = None
from vramcast.cli.run import run
sys.exit(run(sys.argv[1:]))
"""


def err(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Stderr of a command that could not be understood."""
    assert run(words) == 2
    text, errors = capsys.readouterr()
    assert text == ""
    return errors


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_wrong_engine(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, with those that there are."""
    assert err(capsys, command, "gpt2", "--engine", "guess").splitlines() == [
        "error: --engine cannot be 'guess'",
        "  try: one of: rules, trace",
    ]


def test_exact_and_another_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """Two answers to one question."""
    assert "--exact is not --engine rules" in err(capsys, "predict", "gpt2", "--exact", "--engine", "rules")


@pytest.mark.parametrize("flag", [("--exact",), ("--engine", "trace"), ("--exact", "--engine", "trace")])
def test_a_base_install_says_what_to_install(flag: tuple[str, ...]) -> None:
    """Without torch: exit code 2, one line and the command, nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED, "predict", "gpt2", *flag],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: the trace needs packages that are not installed: torch",
        "  try: pip install 'vramcast[trace]'",
    ]


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "backward" in text:
            self.shown.set()
        return super().write(text)


def test_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets no progress, and neither does a command that takes no time."""
    pipe, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stderr", pipe)
    with shown_progress("tracing gpt2") as say:
        assert say is None
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown_progress("") as say:
        assert say is None
    assert pipe.getvalue() == terminal.getvalue() == ""


def test_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phase is shown while it lasts; afterwards, or after an interrupt, the line is gone and the cursor back."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(progress, "PATIENCE", 0)

    def interrupted() -> None:
        with shown_progress("tracing gpt2") as say:
            assert say is not None
            say("step 1 backward")
            assert terminal.shown.wait(SECONDS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    shown = terminal.getvalue()
    assert "tracing gpt2: step 1 backward" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.endswith("\x1b[2K")
