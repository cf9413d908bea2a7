"""From the words of a command line to an exit code: 0 answered, 1 answered no, 2 bad input."""

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper

import click

from vramcast.cli.commands import COMPLETION, PROGRAM, vramcast
from vramcast.cli.terminal import color_policy
from vramcast.domain.errors import VramcastError

BAD_INPUT = 2
BUG = 101
INTERRUPTED = 130
READER_GONE = 141
DEBUG = "--debug"


def run(arguments: Sequence[str]) -> int:
    """
    Run one command line; every error a user can meet is a line on stderr that says what, and one that says what to try.

    `--debug`, anywhere on the line before `--`, adds the traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old terminal gets a question mark, not a traceback
    end = arguments.index("--") if "--" in arguments else len(arguments)  # what follows is a script's
    words = [word for word in arguments[:end] if word != DEBUG] + list(arguments[end:])
    return guarded(lambda: _invoke(words), debug=len(words) < len(arguments))


def guarded(work: Callable[[], int], *, debug: bool) -> int:
    """The exit code of `work`, or of the error that ended it."""
    try:
        return work()
    except VramcastError as error:
        return _refuse(error.what, error.hint, debug=debug)
    except click.ClickException as error:
        return _refuse(*_usage(error), debug=debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing stdout says nothing either
        return READER_GONE
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception:  # noqa: BLE001  (whatever it is, it must not look like the answer "does not fit")
        _traceback()
        click.echo("error: this is a bug in vramcast; please report it with the command and the lines above", err=True)
        return BUG


def _invoke(words: list[str]) -> int:
    if COMPLETION in os.environ:
        vramcast.main(words, prog_name=PROGRAM)
    try:
        with vramcast.make_context(PROGRAM, words or ["--help"], color=color_policy()) as context:
            vramcast.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    finally:
        sys.stdout.flush()
    return 0


def _usage(error: click.ClickException) -> tuple[str, str]:
    """What click complains about, in our words: a small first letter, no full stop."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path} --help" if context else ""
    return message[:1].lower() + message[1:], hint


def _refuse(what: str, hint: str, *, debug: bool) -> int:
    if debug:
        _traceback()
    click.echo(f"error: {what}", err=True)
    if hint:
        click.echo(f"  try: {hint}", err=True)
    return BAD_INPUT


def _traceback() -> None:
    import traceback

    traceback.print_exc()
