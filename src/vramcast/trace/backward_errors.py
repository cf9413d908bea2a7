"""
Errors that Python code raises in a backward pass, brought through C++.

An operator of a node written in C++ that fails leaves its error set in Python's thread state while C++ unwinds. The engine's
guard then asks the backend for its type, in Python, which fails because an error is set, and the process aborts. So the
answer takes the error away, and the caller of the backward pass gets it back.

Source: torch 2.13 torch/csrc/acc/Module.cpp (`PythonDeviceGuard`, whose streams ask for the type), autograd/engine.cpp.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import graph

_TYPE = torch._C._autograd.DeviceType.PrivateUse1
# ctypes raises what is set when a function of Python's own returns
_raise_what_is_set = ctypes.pythonapi.PyErr_Occurred
_OWNERS: tuple[Any, ...] = (torch.autograd, graph)
_taken: list[BaseException] = []


class Guard(torch._C._acc.DeviceGuard):
    """Says which device this is. No attributes: a look into an instance's own dict fails while an error is set."""

    def type_(self) -> Any:
        """The device's type; called by C++, also with an error set."""
        try:
            _raise_what_is_set()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised again by `given_back`
            _taken.append(error)
        return _TYPE


@contextmanager
def given_back() -> Iterator[None]:
    """A backward pass ends with the error that was taken away within it."""
    run = graph._engine_run_backward

    def run_backward(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except SystemError:
            if not _taken:
                raise
            error = _taken.pop()
            raise error from error.__cause__

    for owner in _OWNERS:
        owner._engine_run_backward = run_backward
    try:
        yield
    finally:
        for owner in _OWNERS:
            owner._engine_run_backward = run
        _taken.clear()
