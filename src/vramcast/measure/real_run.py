"""The entry point: a run for real, and its bytes phase by phase."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.forecast import Phase
from vramcast.domain.run import AttentionKernel, Kernels, Loss, Method, Offload, Recompute, Run, ServeRun, TrainRun
from vramcast.measure.adapters import checkpointed, with_adapters
from vramcast.measure.cache import cache_bytes
from vramcast.measure.cpu_meter import CPU
from vramcast.measure.measured import Measured, Step
from vramcast.measure.meters import Meter, measure
from vramcast.measure.model import DTYPES, Source, load
from vramcast.measure.optimizers import PAGED, PAGED_ON_CPU
from vramcast.measure.quiet import quiet
from vramcast.measure.serve import Server
from vramcast.measure.text import batches, own_text
from vramcast.measure.train import Trainer
from vramcast.measure.update import Learning

Progress = Callable[[Step], None]
ON_CUDA_ONLY = (AttentionKernel.EFFICIENT, AttentionKernel.CUDNN)


def train(
    source: Source,
    run: TrainRun,
    *,
    device: str | None = None,
    steps: int = 2,
    text: bytes | None = None,
    learning: Learning | None = None,
    snapshot: Path | None = None,
    keep: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Measured:
    """
    Load a model and train it for `steps` steps, in a plain loop of torch; then evaluate and gather its state, if asked.

    `keep` names a folder for what was trained: a checkpoint, or PEFT's adapters.

    Raises:
        InputError: the model cannot be read, or there is no such device.
        UnsupportedError: the run wants what no plain loop does here.
    """
    meter = measure(device, snapshot=snapshot)
    _refuse(run, meter.device)
    taken: list[Step] = []
    with quiet(), meter:
        meter.enter("load", Phase.LOAD)
        torch.manual_seed(seed)
        model = trained_model(source, run, meter.device, seed=seed)
        trainer = Trainer(model, run, meter, learning or Learning())
        given = _given(model, text, run.micro_batch, run.seq_len, seed)
        for number in range(1, steps + 1):
            taken.append(trainer.step(number, given))
            if progress is not None:
                progress(taken[-1])
        evaluation = trainer.evaluate(next(given)) if run.evaluate else None
        if run.save or keep:
            meter.enter("save", Phase.SAVE)
            _save(model, run, keep)
    notes = _notes(run, meter.device)
    return _measured(run, meter, steps=tuple(taken), evaluation=evaluation, notes=notes)


def serve(
    source: Source,
    run: ServeRun,
    *,
    device: str | None = None,
    decode_steps: int = 2,
    text: bytes | None = None,
    snapshot: Path | None = None,
    seed: int = 0,
) -> Measured:
    """
    Load a model, read B prompts of T - `decode_steps` tokens and generate greedily, so that the cache holds T of each.

    Raises:
        InputError: the model cannot be read, there is no such device, or no room for a prompt.
        UnsupportedError: transformers has no such cache, or the attention kernel is not on this device.
    """
    meter = measure(device, snapshot=snapshot)
    _refuse_kernel(run, meter.device)
    with quiet(), meter:
        meter.enter("load", Phase.LOAD)
        model = load(source, run, meter.device, seed=seed)
        server = Server(model, run, meter, decode_steps)
        cache = server.serve(next(_given(model, text, run.max_num_seqs, server.prompt, seed)))
        held = cache_bytes(cache)
    return _measured(run, meter, seconds=tuple(server.seconds), cache_bytes=held)


def _given(model: Any, text: bytes | None, rows: int, length: int, seed: int) -> Iterator[torch.Tensor]:
    vocab: int = model.get_input_embeddings().num_embeddings
    return batches(text if text is not None else own_text(), vocab, rows, length, seed=seed)


def trained_model(source: Source, run: TrainRun, device: str, *, seed: int = 0) -> nn.Module:
    """The loaded model with adapters and checkpointing as `run` says."""
    loaded = load(source, run, device, seed=seed)
    upcast = run.quantization is not None and run.quantization.upcast
    model: nn.Module = loaded
    if run.adapter is not None:
        model = with_adapters(loaded, run.adapter, DTYPES[run.precision.compute], upcast=upcast)
    if run.recompute is Recompute.FULL:
        checkpointed(loaded, model, reentrant=run.reentrant)
    return model


def _save(model: Any, run: TrainRun, keep: Path | None) -> None:
    """Bring the state dict to the host, of what is trained where the rest is frozen; or write it into a folder."""
    if keep is not None:
        model.save_pretrained(keep)
        return
    trained = ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    state = model.state_dict() if run.method is Method.FULL else dict(trained)
    gathered = {name: value.detach().to(CPU) for name, value in state.items()}
    gathered.clear()


def _refuse(run: TrainRun, device: str) -> None:
    wanted = {
        f"{run.loss} loss": run.loss is not Loss.STOCK,
        f"{run.kernels} kernels": run.kernels is not Kernels.EAGER,
        f"{run.recompute} recomputation": run.recompute is Recompute.SELECTIVE,
        f"offloading the {run.offload}": run.offload is not Offload.NONE,
    }
    found = [what for what, is_wanted in wanted.items() if is_wanted]
    if found:
        raise UnsupportedError(f"a real run has no {found[0]} here", "the plain choice of that option")
    _refuse_kernel(run, device)


def _refuse_kernel(run: Run, device: str) -> None:
    if run.attention in ON_CUDA_ONLY and device == CPU:
        raise UnsupportedError(f"there is no {run.attention} attention on the CPU", "--attention sdpa")


def _notes(run: TrainRun, device: str) -> tuple[str, ...]:
    return (PAGED_ON_CPU,) if run.optimizer in PAGED and device == CPU else ()


def _measured(run: Run, meter: Meter, **found: Any) -> Measured:
    name = CPU if meter.device == CPU else torch.cuda.get_device_name()
    return Measured(run=run, device=name, readings=meter.readings, context=meter.context, **found)
