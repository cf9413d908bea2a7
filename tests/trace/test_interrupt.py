"""Ctrl-C while something is traced: what is left of it on the terminal, and in torch."""

import io
import os
import pty
import re
import select
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

import vramcast
from vramcast.cli import progress
from vramcast.cli.run import INTERRUPTED

HIDDEN, SHOWN, INTERRUPT = b"\x1b[?25l", b"\x1b[?25h", b"\x03"
LIMIT = 60.0  # seconds
CODE = "import sys; from vramcast.cli import main; sys.argv[1:1] = ['predict']; main()"
SLOW = ("qwen3-0.6b", "--method", "full", "--seq-len", "4096", "--gpu", "h100-80gb", "--exact")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.shown = b""
        self._process, self._side = pty.fork()
        if not self._process:
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, [sys.executable, "-c", CODE, *words])  # noqa: S606
        self._until = time.monotonic() + LIMIT

    def read_until(self, wanted: bytes) -> bool:
        """Read on until `wanted` was shown; false where the command ended before."""
        while wanted not in self.shown or not wanted:
            assert time.monotonic() < self._until, self.shown
            if select.select([self._side], [], [], 0.1)[0]:
                try:
                    more = os.read(self._side, 1 << 16)
                except OSError:  # Linux: the other side is closed
                    return False
                if not more:
                    return False
                self.shown += more
        return True

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._side, INTERRUPT)

    def end(self) -> int:
        """The exit code, once everything is read."""
        self.read_until(b"")
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def close(self) -> None:
        """Leave nothing running."""
        os.close(self._side)


@pytest.mark.parametrize("moment", [HIDDEN, b": step 1 "], ids=["at-once", "step"])
def test_ctrl_c_leaves_a_clean_terminal(moment: bytes) -> None:
    """The bar is gone, the cursor back, one line, the usual exit code, at any moment."""
    terminal = Terminal(*SLOW)
    try:
        assert terminal.read_until(moment)
        terminal.interrupt()
        pressed = time.monotonic()
        assert terminal.end() == INTERRUPTED
    finally:
        terminal.close()
    assert time.monotonic() - pressed < 8
    assert b"Traceback" not in terminal.shown and b"tracing qwen3-0.6b" in terminal.shown
    end = terminal.shown[terminal.shown.rindex(SHOWN) :]
    assert HIDDEN not in end
    assert re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", end).strip() == b"interrupted"
    assert b"\x1b[2K" in end  # the bar's line is erased


class Watched(io.StringIO):
    """A stream that says it is a terminal, or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """What it says."""
        return self.terminal


@pytest.mark.parametrize(("terminal", "patience", "seen"), [(True, 0.0, True), (False, 0.0, False), (True, 60, False)])
def test_progress_is_for_those_who_wait(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, patience: float, seen: bool
) -> None:
    """Shown on a terminal once it takes long; never on a pipe, nor for what is quick."""
    stream = Watched(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown_progress("tracing it") as enter:
        until = time.monotonic() + 20
        while seen and "tracing it" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        if enter is not None:
            enter("a phase")
        time.sleep(0.3)
    assert ("tracing it: a phase" in stream.getvalue()) == seen
    assert bool(stream.getvalue()) == seen
    assert not seen or stream.getvalue().rindex(SHOWN.decode()) > stream.getvalue().rindex(HIDDEN.decode())


class AtOperator(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Does something at the n-th operator that the backward pass's own thread runs."""

    def __init__(self, number: int, what: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left, self.what = number, what

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count down."""
        if threading.current_thread() is not threading.main_thread():
            self.left -= 1
            if not self.left:
                self.what()
        return func(*args, **(kwargs or {}))


def press() -> None:
    """Ctrl-C, as the terminal sends it."""
    os.kill(os.getpid(), signal.SIGINT)


def fail() -> None:
    """What goes wrong in the middle of a node written in C++."""
    raise ValueError("in the middle")


@pytest.mark.parametrize("number", [1, 3, 5, 9])
@pytest.mark.parametrize(("what", "error"), [(press, KeyboardInterrupt), (fail, ValueError)])
def test_in_a_backward_pass(what: Callable[[], None], error: type[BaseException], number: int) -> None:
    """The error comes out as it went in, and everything that the trace put in place is gone."""
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    mode = AtOperator(number, what)

    def program() -> None:
        with vramcast.trace():
            net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(100))).cuda()
            loss = net(torch.zeros(2, 8, device="cuda")).sum()
            with mode:
                loss.backward()

    with pytest.raises(error):
        program()
    assert mode.left > -100  # of more than 300: it was not waited for the end
    assert not _get_current_dispatch_mode_stack()
    assert signal.getsignal(signal.SIGINT) is handler and sys.unraisablehook is hook
    assert float(torch.ones(2).sum()) == 2.0


def test_in_a_callback_that_swallows_it() -> None:
    """An interrupt that falls on a weak reference's callback ends the trace at the next operator, and is not printed."""

    def program() -> None:
        with vramcast.trace():
            thing = nn.Identity()
            watch = weakref.ref(thing, lambda _: press())
            del thing
            assert watch() is None
            torch.zeros(2, device="cuda")
            pytest.fail("nobody heard of it")

    with pytest.raises(KeyboardInterrupt):
        program()


def test_a_program_that_catches_it_goes_on() -> None:
    """One Ctrl-C is one KeyboardInterrupt."""
    caught = 0
    with vramcast.trace() as traced:
        net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))).cuda()
        for _ in range(2):
            loss = net(torch.zeros(2, 8, device="cuda")).sum()
            try:
                with AtOperator(3 if not caught else 10**6, press):
                    loss.backward()
            except KeyboardInterrupt:
                caught += 1
    assert caught == 1 and traced.peak_allocated > 0
