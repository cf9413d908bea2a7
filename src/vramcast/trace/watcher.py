"""Sees from outside what a program does: its models, phases, and what its tensors are."""

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from vramcast.domain.forecast import Category, Phase

if TYPE_CHECKING:
    from vramcast.trace.recorder import Recorder

_RECENT = 64


class StepsDone(BaseException):
    """The program has made as many optimizer steps as were asked for: no error, so no `except Exception` may take it."""


class Watcher:
    """
    Tells the recorder what a driver would tell it.

    Parameters are those of modules that run and of optimizers, gradients what accumulates on them, optimizer states what an
    optimizer keeps, activations what lives when a backward pass begins. The phase follows from who runs.
    """

    def __init__(self, limit: int | None) -> None:
        self.recorder: Recorder
        self._limit = limit
        self._known = WeakIdKeyDictionary()
        self._roots: dict[int, nn.Module] = {}
        self._depth = 0
        self._began = 0
        self._recompute = 0
        self._backward = 0
        self._recent: deque[weakref.ref[Tensor]] = deque(maxlen=_RECENT)
        self._handles: list[Any] = []
        self._counts: dict[int, int] = {}
        self._named = ""
        self.steps = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch modules and optimizers; enter it before the recorder, so that a model is known when its first module runs."""
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave, always_call=True),
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        try:
            yield
        finally:
            for handle in self._handles:
                handle.remove()

    def moved(self, parameter: Any) -> None:
        """A parameter was copied, or moved to the device: a copy of weights, unless a module is at work."""
        if self._depth == 0 and isinstance(parameter, Tensor):
            self.recorder.label((parameter,), Category.PARAMETERS)

    def projected(self, output: Any) -> None:
        """A linear layer's output: it may turn out to be logits."""
        if isinstance(output, Tensor):
            self._recent.append(weakref.ref(output))

    @contextmanager
    def loss(self, logits: Tensor) -> Iterator[None]:
        """A cross entropy is worked out: its input, the projection it comes from, and what it makes are logits and loss."""
        recent = (ref() for ref in self._recent)
        same = [one for one in recent if one is not None and one.dim() and one.shape[-1] == logits.shape[-1]]
        began = self.recorder.now
        self.recorder.label((logits, *same), Category.LOGITS)
        yield
        self.recorder.label_since(began, Category.LOGITS)

    @contextmanager
    def backward(self) -> Iterator[None]:
        """A backward pass; within another one it belongs to a checkpoint."""
        with torch._C.DisableTorchFunction():
            self.recorder.label_since(self._began, Category.ACTIVATIONS)
            if not self._backward:
                self._stop_in_time()
                self._phase(Phase.BACKWARD, "backward")
        self._backward += 1
        try:
            yield
        finally:
            self._backward -= 1
        if not self._backward:
            self._phase(Phase.OPTIMIZER_STEP, "update")
            self._began = self.recorder.now

    def _enter(self, module: nn.Module, args: Any) -> None:
        with torch._C.DisableTorchFunction():
            if self._depth == 0:
                self._root(module)
            self._depth += 1

    def _root(self, module: nn.Module) -> None:
        if self._backward:
            self._recompute = self.recorder.now
            return
        if id(module) not in self._roots:
            self._roots[id(module)] = module
            before = f"{type(module).__name__}." if len(self._roots) > 1 else ""
            self.recorder.places.know(module, before)
            self.recorder.locate(module)
        self._parameters(module.parameters())
        self.recorder.label(module.buffers(), Category.PARAMETERS)
        if torch.is_grad_enabled():
            self._stop_in_time()
            self._phase(Phase.FORWARD, "forward")
        else:
            self._phase(Phase.EVALUATE, "forward without gradients")

    def _phase(self, phase: Phase, name: str) -> None:
        """Enter a phase, unless this is the one."""
        named = f"step {self.steps + 1} {name}"
        if named != self._named:
            self._named = named
            self.recorder.enter_phase(phase, named)

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self._depth -= 1
        if self._depth:
            return
        with torch._C.DisableTorchFunction():
            if self._backward:
                self.recorder.label_since(self._recompute, Category.ACTIVATIONS)
            elif not torch.is_grad_enabled():
                cache = getattr(result, "past_key_values", None)
                layers = getattr(cache, "layers", ())
                kept = (leaf for layer in layers for leaf in tree_leaves(vars(layer)) if isinstance(leaf, Tensor))
                self.recorder.label(kept, Category.KV_CACHE)

    def _parameters(self, parameters: Iterable[Tensor]) -> None:
        fresh = [one for one in parameters if one not in self._known]
        self.recorder.label(fresh, Category.PARAMETERS)
        for parameter in fresh:
            self._known[parameter] = True
            if parameter.requires_grad:
                self._handles.append(parameter.register_post_accumulate_grad_hook(self._has_gradient))
            if parameter.grad is not None:
                self.recorder.label((parameter.grad,), Category.GRADIENTS)

    def _has_gradient(self, parameter: Tensor) -> None:
        with torch._C.DisableTorchFunction():
            if parameter.grad is not None:
                self.recorder.label((parameter.grad,), Category.GRADIENTS)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        with torch._C.DisableTorchFunction():
            trained = [one for group in optimizer.param_groups for one in group["params"]]
            self._parameters(trained)
            gradients = (one.grad for one in trained if one.grad is not None)
            self.recorder.label(gradients, Category.GRADIENTS)
            self._phase(Phase.OPTIMIZER_STEP, "update")

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        with torch._C.DisableTorchFunction():
            states = (leaf for leaf in tree_leaves(dict(optimizer.state)) if isinstance(leaf, Tensor))
            self.recorder.label(states, Category.OPTIMIZER_STATES)
            self._began = self.recorder.now
        self._counts[id(optimizer)] = self._counts.get(id(optimizer), 0) + 1
        self.steps = max(self._counts.values())

    def _stop_in_time(self) -> None:
        """The loop goes round to the next pass: what follows the last step has been seen."""
        if self._limit is not None and self.steps >= self._limit:
            raise StepsDone
