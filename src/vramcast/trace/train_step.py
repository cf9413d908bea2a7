"""The training step that people run: forward, loss, backward, clipping, update."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Loss, Method, TrainRun
from vramcast.domain.stack import Stack
from vramcast.trace.kinds import Kinds
from vramcast.trace.losses import loss_without_logits
from vramcast.trace.update import TRAINERS, Update, output_projection

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Witness(Protocol):
    """Whom the step tells what it does: `Recorder`, or a meter of a real step."""

    device: str
    kinds: Kinds

    @property
    def now(self) -> int:
        """Events so far."""

    def enter_phase(self, phase: Phase, name: str) -> None:
        """From here on the program does this."""

    def forget_graph(self) -> None:
        """A backward pass is over."""

    def label(self, tensors: Iterable[Tensor], category: Category) -> None:
        """What the storages of these tensors are."""

    def belong(self, tensors: Iterable[Tensor], owner: Tensor) -> None:
        """These tensors belong to the module of `owner`."""

    def label_since(self, event: int, category: Category) -> None:
        """What lives, was born since, and has no name yet."""


def train(
    model: nn.Module,
    run: TrainRun,
    stack: Stack,
    recorder: Witness,
    *,
    steps: int = 2,
    evaluate: bool = False,
    gather: bool = False,
    progress: Callable[[str], None] | None = None,
) -> int:
    """
    Train `model`, which is on the recorder's device, for `steps` steps; then evaluate, and gather its state, if asked.

    Marks: `step 1 forward`, `step 1 backward`, `step 1 update`, ..., `evaluate`, `save`; with accumulation the passes of each
    micro-batch, `step 1 forward 2`.

    Args:
        model: as it is trained, with adapters and checkpointing in place.
        run: what a step is.
        stack: the framework that runs it; its defaults say what `run` does not.
        recorder: who is told the phases, and what tensors are.
        steps: the first creates optimizer states, the second is as all others.
        evaluate: a forward pass without gradients, logits included.
        gather: the state dict, brought to the host.
        progress: called with the name of each phase.

    Returns:
        Bytes of paged optimizer states, which lie outside torch's allocator.
    """
    trainer = _Trainer(model, run, stack, recorder, progress)
    for step in range(1, steps + 1):
        trainer.step(f"step {step}")
    if evaluate:
        trainer.evaluate()
    if gather:
        trainer.gather()
    return trainer.paged_bytes


class _Trainer:
    """One training loop."""

    def __init__(
        self, model: nn.Module, run: TrainRun, stack: Stack, recorder: Witness, progress: Callable[[str], None] | None
    ) -> None:
        self._model = model
        self._run = run
        self._converts = stack.name in TRAINERS and (run.autocast or run.precision.is_amp)
        self._holds = stack.default("holds_logits") == "yes"
        self._recorder = recorder
        self._progress = progress
        recorder.label([*model.parameters(), *model.buffers()], Category.PARAMETERS)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._has_gradient)
        self._head = _around_head(model, self._begin_logits)
        self._update = Update(model, run, stack, recorder.device)
        self._label_kept()

    @property
    def paged_bytes(self) -> int:
        """Bytes of paged optimizer states."""
        return self._update.paged_bytes

    def step(self, name: str) -> None:
        """One optimizer step over all micro-batches."""
        self._model.train()
        for number in range(1, self._run.accum_steps + 1):
            suffix = f" {number}" if self._run.accum_steps > 1 else ""
            self._pass(f"{name} forward{suffix}", f"{name} backward{suffix}")
        self._enter(Phase.OPTIMIZER_STEP, f"{name} update")
        self._update.step()
        self._label_kept()

    def evaluate(self) -> None:
        """A forward pass with loss and logits, no graph; TRL's chunked loss makes no logits here either, Liger's does."""
        self._enter(Phase.EVALUATE, "evaluate")
        self._model.eval()
        ids, labels = self._batch()
        with torch.no_grad():
            (self._loss if self._run.loss is Loss.CHUNKED else self._outputs)(ids, labels)
        self._recorder.kinds.end_logits()

    def gather(self) -> None:
        """The state dict on the host: what is trained alone where the rest is frozen, as PEFT saves it."""
        self._enter(Phase.SAVE, "save")
        trained = {name: weight for name, weight in self._model.named_parameters() if weight.requires_grad}
        saved = self._model.state_dict() if self._run.method is Method.FULL else trained
        gathered = {name: value.to("cpu") for name, value in saved.items()}
        gathered.clear()

    def _pass(self, forward: str, backward: str) -> None:
        self._enter(Phase.FORWARD, forward)
        began = self._recorder.now
        batch = self._batch()  # the loop over batches holds it until the next one
        loss, held = self._loss(*batch)
        if self._run.accum_steps > 1:
            loss = loss / self._run.accum_steps
        if not self._holds:
            held = None
        self._recorder.label_since(began, Category.ACTIVATIONS)
        self._enter(Phase.BACKWARD, backward)
        self._recorder.kinds.begin_logits(within=self._head)
        self._update.scaled(loss).backward()
        del held
        self._recorder.forget_graph()
        self._recorder.kinds.end_logits()

    def _loss(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss, and what the caller of the model holds beside it."""
        if self._run.loss is not Loss.STOCK:
            with self._autocast():
                return loss_without_logits(self._model, self._run.loss, ids, labels, self._begin_logits), None
        return self._outputs(ids, labels)

    def _outputs(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits; where a Trainer runs under autocast they come in FP32 (accelerate's convert_outputs_to_fp32)."""
        with self._autocast():
            outputs = self._model(input_ids=ids, labels=labels)
        loss, logits = outputs.loss, outputs.logits
        return (loss.float(), logits.float()) if self._converts else (loss, logits)

    def _batch(self) -> tuple[Tensor, Tensor]:
        shape = self._run.micro_batch, self._run.seq_len
        ids, labels = (torch.zeros(shape, dtype=torch.long, device=self._recorder.device) for _ in range(2))
        self._recorder.label((ids, labels), Category.ACTIVATIONS)
        return ids, labels

    def _autocast(self) -> AbstractContextManager[Any]:
        if not (self._run.autocast or self._run.precision.is_amp):
            return nullcontext()
        return torch.autocast(self._recorder.device, dtype=DTYPES[self._run.precision.compute])

    def _begin_logits(self, *_: Any) -> None:
        self._recorder.kinds.begin_logits()

    def _label_kept(self) -> None:
        for tensors, owner in self._update.kept():
            self._recorder.label(tensors, Category.OPTIMIZER_STATES)
            self._recorder.belong(tensors, owner)

    def _has_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self._recorder.label((parameter.grad,), Category.GRADIENTS)

    def _enter(self, phase: Phase, name: str) -> None:
        self._recorder.enter_phase(phase, name)
        if self._progress is not None:
            self._progress(name)


def _around_head(model: nn.Module, begin: Callable[..., None]) -> frozenset[str]:
    """Paths of the output projection, of what is in it and around it; `begin` is called when it runs."""
    head = output_projection(model)
    path = next((name for name, module in model.named_modules() if module is head), "")
    if head is None:
        return frozenset({""})
    head.register_forward_pre_hook(begin)
    parts = path.split(".")
    above = (".".join(parts[:end]) for end in range(len(parts)))
    return frozenset({*above, *(name for name, _ in head.named_modules(prefix=path))})
