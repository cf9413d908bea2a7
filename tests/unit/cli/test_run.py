"""The command line as a whole: exit codes, errors, laziness."""

import io
import os
import subprocess
import sys

import click
import pytest

from vramcast import __version__
from vramcast.cli.commands import COMMANDS, vramcast
from vramcast.cli.run import guarded, run
from vramcast.domain.errors import InputError


def call(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(
        [sys.executable, "-c", "from vramcast.cli import main; main()", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**kept, "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_commands_own(name: str) -> None:
    """The list of commands is written down so that it needs no import; it must not drift."""
    command = vramcast.get_command(click.Context(vramcast), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200).rstrip(".") == COMMANDS[name].rstrip(".")


@pytest.mark.parametrize("flag", ["-h", "--help", "--version"])
def test_help_and_version_import_no_command(flag: str) -> None:
    """What only reads the list of commands starts fast."""
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from vramcast.cli.run import run; import sys; assert run(['{flag}']) == 0; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "vramcast.cli.commands" in loaded
    heavy = ("vramcast.domain.forecast", "vramcast.app", "rich", "pydantic", "numpy", "huggingface_hub")
    assert not [name for name in heavy if name in loaded.split()]


def test_a_forecast_imports_nothing_heavy() -> None:
    """The base answer needs none of these libraries."""
    code = "from vramcast.cli.run import run; import sys; run(['predict', 'llama-3.1-8b']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"rich", "pydantic", "numpy", "huggingface_hub", "yaml", "torch"} & set(loaded.split())


def test_version() -> None:
    """Name and version, also of the package run as a module."""
    assert call("--version").stdout == f"vramcast {__version__}\n"
    module = subprocess.run([sys.executable, "-m", "vramcast", "--version"], capture_output=True, text=True, check=True)
    assert module.stdout == f"vramcast {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (("predict", "no-such-model"), "no model called 'no-such-model'", "a model is a catalog name"),
        (("predict", "llama-3.1-8b", "--gpu", "rtx 9999"), "no device is called 'rtx 9999'", ""),
        (("predict", "llama-3.1-8b", "--seq-len", "many"), "--seq-len must be a whole number", ""),
        (("predict", "llama-3.1-8b", "--memory", "much"), "--memory: not a memory size", "24GiB"),
        (("predict", "llama-3.1-8b", "--fits"), "--fits needs a device", "--gpu NAME"),
        (("predict", "llama-3.1-8b", "--no-such"), "no such option", "vramcast predict --help"),
        (("predict",), "missing argument 'MODEL'", "vramcast predict --help"),
        (("predcit", "llama-3.1-8b"), "did you mean: vramcast predict?", ""),
        (("llama-3.1-8b",), "did you mean: vramcast predict llama-3.1-8b?", ""),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, what to try, nothing on stdout, no traceback."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert what in first
    assert all(line.startswith("  try: ") for line in rest)
    assert len(rest) <= 1
    assert hint in err


def test_debug_shows_where_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    """The flag may stand anywhere."""
    assert run(["predict", "--debug", "no-such-model"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "error: no model called 'no-such-model'" in err


def test_a_bug_is_neither_yes_nor_no(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception nobody raised on purpose has its own exit code and asks for a report."""

    def broken() -> int:
        raise RuntimeError("a bug")

    assert guarded(broken, debug=False) == 101
    err = capsys.readouterr().err
    assert "RuntimeError: a bug" in err
    assert "please report" in err


def test_ctrl_c_ends_with_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    """130, as a shell expects of a process that was interrupted."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted, debug=False) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty `try:`."""

    def refusing() -> int:
        raise InputError("what")

    assert guarded(refusing, debug=False) == 2
    assert capsys.readouterr().err == "error: what\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    """`vramcast models | head -1` prints nothing on stderr."""
    read, write = os.pipe()
    os.close(read)
    try:
        result = call("models", stdout=write)
    finally:
        os.close(write)
    assert result.stderr == ""
    assert result.returncode == 141


def test_an_old_terminal_gets_ascii() -> None:
    """No traceback, no question marks, the same columns."""
    result = call("predict", "llama-3.1-8b", "--gpu", "rtx-4090", PYTHONIOENCODING="ascii", COLUMNS="80")
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "####" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_chinese_on_an_old_terminal_becomes_english() -> None:
    """A page of question marks helps nobody; a note on stderr says why."""
    words = ("predict", "llama-3.1-8b", "--gpu", "rtx-4090")
    chinese = call(*words, "--lang", "zh", PYTHONIOENCODING="ascii")
    assert chinese.stdout == call(*words, PYTHONIOENCODING="ascii").stdout
    assert chinese.stderr.startswith("note: ascii shows no Chinese")


def test_no_command_is_a_call_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The same text as `--help`, and no complaint."""
    assert run([]) == 0
    text = capsys.readouterr()
    assert run(["--help"]) == 0
    assert capsys.readouterr() == text
    assert text.err == ""


def test_completion_is_that_of_click() -> None:
    """A shell that asks for it gets its script."""
    assert "_vramcast_completion" in call(_VRAMCAST_COMPLETE="bash_source").stdout


def test_colour_follows_the_environment() -> None:
    """Into a pipe only where it is forced, and never against NO_COLOR."""
    words = ("predict", "llama-3.1-8b", "--gpu", "rtx-4090")
    assert "\x1b" not in call(*words).stdout
    assert "\x1b" in call(*words, FORCE_COLOR="1").stdout
    assert "\x1b" not in call(*words, FORCE_COLOR="1", NO_COLOR="1").stdout


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"TERM": "dumb", "FORCE_COLOR": "1"}, True)],
)
def test_wants_color(environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, a dumb terminal, and FORCE_COLOR over it."""
    from vramcast.cli.terminal import wants_color

    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color() is wanted


def test_needs_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodings without block letters."""
    from vramcast.cli.terminal import needs_ascii

    for encoding, ascii_only in (("utf-8", False), ("ascii", True), ("latin-1", True), ("cp1252", True)):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert needs_ascii() is ascii_only
