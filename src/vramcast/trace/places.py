"""Which module is at work: forward by its hooks, backward by the node that runs."""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules import module as hooks

_FIRST_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


class Place(NamedTuple):
    """A module's dotted path, and the layer it belongs to (-1 outside the layers)."""

    path: str
    layer: int


ACCUMULATES = 2**64 - 1  # the sequence number of every node that accumulates a gradient
OUTSIDE = Place("", -1)


def place_of(path: str) -> Place:
    """The first number in a path is the layer's: `model.layers.3.mlp` is of layer 3."""
    found = _FIRST_NUMBER.search(path)
    return Place(path, int(found[1]) if found else -1)


class _Thread:
    """One thread's modules at work, and from which autograd sequence number on each place was current."""

    __slots__ = ("numbers", "places", "stack")

    def __init__(self) -> None:
        self.stack: list[Place] = []
        self.numbers: list[int] = []
        self.places: list[Place] = []


class Places:
    """
    Knows where an operator runs.

    A node of the backward pass has the sequence number of the operator that made it, so the place that was current at that
    number is the node's. Source: torch/csrc/autograd/node.h. Within a reentrant checkpoint a nested backward pass has the
    numbers of the thread that recomputes.
    """

    def __init__(self) -> None:
        self._names: dict[int, Place] = {}
        self._threads: dict[int, _Thread] = {}
        self._main = self._thread()
        self._task = -1
        self._nested: set[int] = set()
        self.on_recompute: Callable[[bool], None] = _nothing

    def know(self, model: nn.Module, before: str = "") -> None:
        """Name the modules of `model` by their paths in it, with `before` in front."""
        self._names |= {id(module): place_of(before + name) for name, module in model.named_modules()}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow every module's forward pass."""
        handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def recomputing(self) -> bool:
        """A module's forward pass runs inside a backward pass."""
        return bool(self._thread().stack) and torch._C._current_autograd_node() is not None

    @property
    def in_backward(self) -> bool:
        """A node of the backward pass runs, and no module's forward pass."""
        return not self._thread().stack and torch._C._current_autograd_node() is not None

    def now(self) -> Place:
        """The place of the operator that runs now."""
        thread = self._thread()
        if thread.stack:
            return thread.stack[-1]
        node = torch._C._current_autograd_node()
        if node is None:
            return OUTSIDE
        number = node._sequence_nr()
        if number == ACCUMULATES:
            return OUTSIDE
        recorded = self._recorded(thread)
        found = bisect_right(recorded.numbers, number) - 1
        return recorded.places[found] if found >= 0 else OUTSIDE

    def forget(self) -> None:
        """Forget which operators made which nodes: their graph is gone."""
        for thread in self._threads.values():
            thread.numbers.clear()
            thread.places.clear()
        self._nested.clear()
        self._task = -1

    def _thread(self) -> _Thread:
        number = threading.get_ident()
        thread = self._threads.get(number)
        if thread is None:
            thread = self._threads[number] = _Thread()
        return thread

    def _recorded(self, thread: _Thread) -> _Thread:
        """Whose forward pass made the nodes that run now: a task begun after this thread ran modules is nested."""
        task = torch._C._current_graph_task_id()
        if task > self._task:
            if self._task >= 0 and thread.numbers:
                self._nested.add(task)
            self._task = task
        return thread if task in self._nested else self._main

    def _note(self, thread: _Thread, place: Place) -> None:
        thread.numbers.append(torch._C._autograd._get_sequence_nr())
        thread.places.append(place)

    def _enter(self, module: nn.Module, _: Any) -> None:
        thread = self._thread()
        stack = thread.stack
        place = self._names.get(id(module))
        if place is None:
            place = stack[-1] if stack else place_of(type(module).__name__)
        stack.append(place)
        self._note(thread, place)
        if len(stack) == 1 and torch._C._current_autograd_node() is not None:
            self.on_recompute(True)

    def _leave(self, module: nn.Module, _: Any, __: Any) -> None:
        thread = self._thread()
        thread.stack.pop()
        self._note(thread, thread.stack[-1] if thread.stack else OUTSIDE)
        if not thread.stack and torch._C._current_autograd_node() is not None:
            self.on_recompute(False)


def _nothing(_: bool) -> None:
    """Nobody wants to know."""
