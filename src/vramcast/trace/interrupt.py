"""Ctrl-C where Python does not hear it: while the main thread waits for a backward pass, and in callbacks that swallow it."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """
    Raises KeyboardInterrupt soon after Ctrl-C, whichever thread is at work; the program can catch it as ever.

    Python runs a signal's handler in the main thread alone, and that stands still during a backward pass on another thread.
    An interrupt within a weak reference's callback or a destructor is printed by Python, and then forgotten.
    """

    def __init__(self) -> None:
        self._swallowed = False
        self._hears: socket.socket | None = None
        self._main = threading.main_thread().ident

    def check(self) -> None:
        """
        Call it at every operator.

        Raises:
            KeyboardInterrupt: Ctrl-C came, and nobody has heard of it.
        """
        if self._swallowed or (threading.get_ident() != self._main and self._unheard()):
            self._swallowed = False
            raise KeyboardInterrupt

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen, unless this is not the main thread, or the program has its own idea of Ctrl-C."""
        if threading.get_ident() != self._main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        hook = sys.unraisablehook
        self._hears, says = socket.socketpair()
        self._hears.setblocking(False)
        says.setblocking(False)
        before = signal.set_wakeup_fd(says.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._handle)
        sys.unraisablehook = lambda told: self._remember(told, hook)
        try:
            yield
        finally:
            sys.unraisablehook = hook
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(before)
            hears, self._hears = self._hears, None
            hears.close()
            says.close()

    def _handle(self, _: int, __: FrameType | None) -> None:
        if self._unheard():  # else another thread has raised it
            raise KeyboardInterrupt

    def _unheard(self) -> bool:
        if self._hears is None or signal.getsignal(signal.SIGINT) != self._handle:
            return False
        try:
            return signal.SIGINT in self._hears.recv(64)
        except BlockingIOError:
            return False

    def _remember(self, told: Any, otherwise: Any) -> None:
        if told.exc_type is KeyboardInterrupt:
            self._swallowed = True
        else:
            otherwise(told)
