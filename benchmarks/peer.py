"""The same step watched by torch's own MemTracker: fake tensors on the CPU, a dispatch mode, module hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from benchmarks.steps import Step
from vramcast.trace.build import build
from vramcast.trace.quantized import place

ROUNDS = 2
CPU = "cpu"
TOTAL = "Total"


def mem_tracker_of(step: Step) -> Callable[[], dict[str, int]]:
    """Two training steps of the same model under MemTracker, as its documentation shows; its peak."""

    def work() -> dict[str, int]:
        model = build(step.config, step.run).model
        with FakeTensorMode(allow_non_fake_inputs=True):
            place(model, CPU)
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimizer = torch.optim.AdamW(trained, foreach=True)
            tracker = MemTracker()
            tracker.track_external(model, optimizer)
            ids = torch.zeros(step.run.micro_batch, step.run.seq_len, dtype=torch.long)
            with frozen_parameters_allowed(), tracker:
                for _ in range(ROUNDS):
                    _pass(model, ids)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    tracker.reset_mod_stats()  # or it refuses the second step
            return {"allocated": tracker.get_tracker_snapshot("peak")[torch.device(CPU)][TOTAL]}

    return work


def _pass(model: nn.Module, ids: Tensor) -> None:
    """Forward and backward; logits live until the end of both, as in ours."""
    outputs = model(input_ids=ids, labels=ids)
    outputs.loss.backward()


@contextmanager
def frozen_parameters_allowed() -> Iterator[None]:
    """MemTracker hooks every parameter, and a frozen one refuses hooks: it would stop at adapters."""
    with _no_hook_on_frozen("register_hook"), _no_hook_on_frozen("register_post_accumulate_grad_hook"):
        yield


@contextmanager
def _no_hook_on_frozen(name: str) -> Iterator[None]:
    registers = getattr(Tensor, name)

    def register(tensor: Tensor, hook: Callable[..., Any]) -> Any:
        return registers(tensor, hook) if tensor.requires_grad else mock.MagicMock()

    with mock.patch.object(Tensor, name, register):
        yield
