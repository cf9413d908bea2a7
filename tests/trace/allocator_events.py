"""
What a real step on the CPU allocates, read from the CPU allocator's own events, without any dispatch mode.

A dispatch mode would change what it looks at: under it autograd gives up its work in place. torch's profiler sees every
allocation and free, and the operator around it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function

from vramcast.domain.forecast import Category, Phase
from vramcast.trace.kinds import Kinds

MARK = "mark "
NUMBER = 8  # bytes of the tensor into which a Python number is wrapped on its way into an operator


class Birth(NamedTuple):
    """A storage is born: its bytes, and the bytes that live with it."""

    size: int
    live: int


Curve = list[str | Birth]
"""Births in program order; a word is the mark of a phase."""


class Announcer:
    """Takes what a training step says for marks in the profile; knows nothing else."""

    device = "cpu"
    now = 0
    kinds = Kinds()

    def enter_phase(self, phase: Phase, name: str) -> None:
        """Leave a mark."""
        with record_function(MARK + name):
            pass

    def forget_graph(self) -> None:
        """There is none."""

    def label(self, tensors: Iterable[torch.Tensor], category: Category) -> None:
        """Nothing is labelled."""

    def belong(self, tensors: Iterable[torch.Tensor], owner: torch.Tensor) -> None:
        """Nothing belongs."""

    def label_since(self, event: int, category: Category) -> None:
        """Nothing is labelled."""


class _Allocation(NamedTuple):
    time: int
    address: int
    bytes: int
    operator: Any
    call: Any = None
    mark: str = ""


def allocations(program: Callable[[], object], resident: int) -> Curve:
    """What `program` allocates while `resident` bytes are there already, from its first mark on."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        program()
    events: list[_Allocation] = []
    for node in seen.profiler.kineto_results.experimental_event_tree():
        events.extend(_walk(node, None))
    events.sort(key=lambda event: event.time)
    return _curve(events, resident)


def _walk(node: Any, operator: Any, call: Any = None) -> Iterator[_Allocation]:
    """Allocations with the operator that they are part of, and the outermost call, which may be of several operators."""
    if node.tag == _EventType.Allocation:
        made = node.extra_fields
        yield _Allocation(node.start_time_ns, made.ptr, made.alloc_size, operator, call)
    elif node.tag == _EventType.TorchOp:
        if node.name.startswith(MARK):
            yield _Allocation(node.start_time_ns, 0, 0, None, mark=node.name.removeprefix(MARK))
        elif operator is None and _is_one(node):
            operator = node
        if call is None and node.name.startswith("aten::"):
            call = node
    for child in node.children:
        yield from _walk(child, operator, call)


def _is_one(node: Any) -> bool:
    """An operator that does its own work, not one that casts or resolves its inputs and then calls itself, or others."""
    if not node.name.startswith("aten::") or node.name in _composite():
        return False
    return all(child.name != node.name for child in node.children)


@cache
def _composite() -> frozenset[str]:
    """Operators that are nothing but calls of others."""
    implicit: dict[str, bool] = {}
    for name in torch._C._dispatch_get_all_op_names():
        base, _, overload = name.partition(".")
        if not overload.endswith("out"):
            whole = torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")
            implicit[base] = implicit.get(base, True) and whole
    return frozenset(name for name, whole in implicit.items() if whole)


def _curve(events: list[_Allocation], live: int) -> Curve:
    left_out = _left_out(events)
    curve: Curve = []
    for number, event in enumerate(events):
        if event.mark:
            curve.append(event.mark)
        elif number not in left_out:
            live += event.bytes
            if event.bytes > 0 and curve:
                curve.append(Birth(event.bytes, live))
    return curve


def _left_out(events: list[_Allocation]) -> set[int]:
    """What an operator takes for itself and gives back before it returns, and Python numbers."""
    born: dict[int, int] = {}
    out: set[int] = set()
    for place, event in enumerate(events):
        if event.bytes > 0:
            born[event.address] = place
        elif event.address in born:
            first = born.pop(event.address)
            made = events[first]
            within = made.operator is not None and made.operator is event.operator
            number = made.operator is None and made.bytes == NUMBER and made.call in (None, event.call)
            if within or number:
                out |= {first, place}
    return out
