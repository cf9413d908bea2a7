"""What happens between the last backward pass of a step and the first forward pass of the next."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vramcast.domain.run import Method, Offload, Precision, TrainRun
from vramcast.domain.stack import Stack
from vramcast.trace.optimizers import HOST, make_optimizers, paged_bytes
from vramcast.trace.precision import Masters, Scaler

TRAINERS = ("hf-trainer", "trl-sft")  # transformers' Trainer and what is built on it
MAX_NORM = 1.0  # to which a Trainer clips gradients unless told otherwise
SCALED = (Precision.AMP_FP16, Precision.MASTER_FP16)


class Update:
    """Clipping, optimizers, masters and gradient scale of one training loop."""

    def __init__(self, model: nn.Module, run: TrainRun, stack: Stack, device: str) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._clips = stack.name in TRAINERS
        self._masters = _masters(self._trained, run, device)
        self._scaler = Scaler(device) if run.precision in SCALED else None
        updated: list[Tensor] = [*self._masters.masters] if self._masters else [*self._trained]
        stands_for = dict(zip(map(id, self._trained), updated, strict=True))
        hidden = [stands_for[id(p)] for p in _hidden(model) if id(p) in stands_for]
        embeddings = _embeddings(model) if stack.default("embedding_states") == "fp32" else []
        whole = [stands_for[id(p)] for p in embeddings if id(p) in stands_for]
        self._optimizers = make_optimizers(run.optimizer, updated, hidden, whole)
        self._owners = dict(zip(map(id, updated), self._trained, strict=True))

    @property
    def paged_bytes(self) -> int:
        """Bytes of states in managed memory."""
        return paged_bytes(self._optimizers)

    def kept(self) -> Iterator[tuple[list[Tensor], Tensor]]:
        """What is kept from step to step, with the weight that it belongs to."""
        if self._masters:
            yield from (([master], self._owners[id(master)]) for master in self._masters.masters)
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                tensors = [value for value in state.values() if isinstance(value, Tensor)]
                yield tensors, self._owners[id(parameter)]
        if self._scaler is not None and self._scaler._scale is not None and self._scaler._growth_tracker is not None:
            yield [self._scaler._scale, self._scaler._growth_tracker], self._scaler._scale

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss that is differentiated."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def step(self) -> None:
        """Clip, update, and drop the gradients."""
        if self._masters:
            self._masters.take_gradients()
        if self._clips:
            self._clip()
        for optimizer in self._optimizers:
            if self._scaler is None:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()
        if self._masters:
            self._masters.give_weights()
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        for parameter in self._trained:
            parameter.grad = None

    def _clip(self) -> None:
        if self._scaler is not None:
            for optimizer in self._optimizers:
                self._scaler.unscale_(optimizer)
        parameters = self._masters.masters if self._masters else self._trained
        nn.utils.clip_grad_norm_(parameters, MAX_NORM, foreach=True)


def _masters(trained: list[nn.Parameter], run: TrainRun, device: str) -> Masters | None:
    offloaded = run.offload is Offload.OPTIMIZER
    whole = run.precision.has_master and run.method is Method.FULL
    if not (offloaded or whole):
        return None
    return Masters(trained, dtype=torch.float32 if whole else None, device=HOST if offloaded else device)


def _hidden(model: nn.Module) -> list[Tensor]:
    """The matrices inside the model: weights of linear layers that are not the output projection."""
    head = output_projection(model)
    linear = (m for m in model.modules() if isinstance(m, nn.Linear) and m is not head)
    return [m.weight for m in linear if m.weight.dim() == 2]


def _embeddings(model: nn.Module) -> list[Tensor]:
    return [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]


def output_projection(model: nn.Module) -> nn.Module | None:
    """What turns the last hidden state into logits."""
    get = getattr(model, "get_output_embeddings", None)
    return get() if callable(get) else None
