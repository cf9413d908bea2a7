"""Optimizer states and step temporaries against real steps of torch, transformers and bitsandbytes on the CPU."""

import warnings
from collections.abc import Callable, Iterable

import pytest
import torch
from bitsandbytes.optim import AdamW8bit, GlobalOptimManager, Lion, Lion8bit, PagedAdamW8bit, PagedAdamW32bit
from torch import nn
from torch.optim import SGD, AdamW, Muon
from transformers.optimization import Adafactor

from tests.dev.live import LiveStorages
from vramcast.domain.run import Method, Optimizer, Precision, TrainRun
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.optimizer import (
    Trainable,
    master_gradients,
    optimizer_states,
    paged_bytes,
    state_itemsize,
    step_temporaries,
    trainable,
)

WEIGHTS = (
    Weight("embed_tokens", (500, 300), WeightKind.EMBEDDING),
    Weight("norm", (300,), WeightKind.NORM),
    Weight("q_proj", (400, 300), WeightKind.LINEAR),
    Weight("k_proj", (100, 300), WeightKind.LINEAR),
    Weight("experts", (4, 60, 20), WeightKind.EXPERTS),
    Weight("small", (40, 50), WeightKind.LINEAR),
)
GROUP = trainable(WEIGHTS)
SHARED = ("qmap1", "qmap2")  # quantisation maps that all tensors of a device share
COUNTERS = ("step", "RMS")
Parameters = list[nn.Parameter]


def hidden(parameters: Parameters) -> tuple[Parameters, Parameters]:
    """What Muon takes, and what goes to AdamW beside it."""
    matrices = [p for p, weight in zip(parameters, WEIGHTS, strict=True) if weight.kind is WeightKind.LINEAR]
    return matrices, [p for p in parameters if all(p is not matrix for matrix in matrices)]


MAKE: dict[Optimizer, Callable[[Parameters], Iterable[torch.optim.Optimizer]]] = {
    Optimizer.ADAMW_FOREACH: lambda p: [AdamW(p, foreach=True)],
    Optimizer.ADAMW_FUSED: lambda p: [AdamW(p, fused=True)],
    Optimizer.ADAMW_LOOP: lambda p: [AdamW(p, foreach=False)],
    Optimizer.ADAMW_8BIT: lambda p: [AdamW8bit(p)],
    Optimizer.PAGED_ADAMW: lambda p: [PagedAdamW32bit(p)],
    Optimizer.PAGED_ADAMW_8BIT: lambda p: [PagedAdamW8bit(p)],
    Optimizer.ADAFACTOR: lambda p: [Adafactor(p)],
    Optimizer.SGD: lambda p: [SGD(p, lr=0.1)],
    Optimizer.SGD_MOMENTUM: lambda p: [SGD(p, lr=0.1, momentum=0.9, foreach=True)],
    Optimizer.LION: lambda p: [Lion(p)],
    Optimizer.LION_8BIT: lambda p: [Lion8bit(p)],
    Optimizer.MUON: lambda p: [Muon(hidden(p)[0]), AdamW(hidden(p)[1], foreach=True)],
}


def parameters(dtype: torch.dtype) -> Parameters:
    """Real tensors of the six shapes."""
    return [nn.Parameter(torch.randn(weight.shape).to(dtype)) for weight in WEIGHTS]


def step(optimizers: Iterable[torch.optim.Optimizer], tensors: Parameters) -> int:
    """One real step on random gradients; the most bytes it held beside what was there before."""
    for tensor in tensors:
        tensor.grad = torch.randn_like(tensor)
    states = [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()]
    before = [*tensors, *(tensor.grad for tensor in tensors), *states]
    live = LiveStorages(tensor for tensor in before if isinstance(tensor, torch.Tensor))
    with warnings.catch_warnings(), live:
        warnings.simplefilter("ignore")
        for optimizer in optimizers:
            optimizer.step()
    return live.beyond_resident


def held(optimizers: Iterable[torch.optim.Optimizer]) -> int:
    """Bytes of all states but step counters and shared maps."""
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    return sum(
        value.nbytes
        for state in states
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name not in (*SHARED, *COUNTERS)
    )


def predicted(optimizer: Optimizer, itemsize: int, group: Trainable = GROUP) -> int:
    """States on the device, and paged ones, which a CPU keeps where all others are."""
    run = TrainRun(optimizer=optimizer, precision=Precision.BF16)
    return optimizer_states(group, run, itemsize).bytes + paged_bytes(group, optimizer)


CASES = [(optimizer, dtype) for optimizer in MAKE for dtype in (torch.bfloat16, torch.float32)]


@pytest.mark.parametrize(
    ("optimizer", "dtype", "size"),
    [(optimizer, dtype, predicted(optimizer, dtype.itemsize)) for optimizer, dtype in CASES],
    ids=lambda value: str(value).removeprefix("torch."),
)
def test_states_equal_a_real_step(optimizer: Optimizer, dtype: torch.dtype, size: int) -> None:
    """After one real step every state tensor is counted to the byte."""
    tensors = parameters(dtype)
    optimizers = list(MAKE[optimizer](tensors))
    step(optimizers, tensors)
    assert held(optimizers) == size


def test_every_optimizer_of_the_vocabulary_is_stepped() -> None:
    """None is left out of this file."""
    assert set(MAKE) == set(Optimizer)


@pytest.mark.parametrize(("make", "optimizer"), [(AdamW8bit, Optimizer.ADAMW_8BIT), (Lion8bit, Optimizer.LION_8BIT)])
def test_embeddings_that_trainers_exempt_keep_fp32_states(
    make: Callable[[Parameters], torch.optim.Optimizer], optimizer: Optimizer
) -> None:
    """The override that transformers' Trainer registers for embeddings leaves their states at 32 bits."""
    embedding = nn.Embedding(500, 300)
    tensors = parameters(torch.float32)
    tensors[0] = embedding.weight
    manager = GlobalOptimManager.get_instance()
    manager.register_module_override(embedding, "weight", {"optim_bits": 32})
    chosen = make(tensors)
    step([chosen], tensors)
    assert held([chosen]) == predicted(optimizer, 4, trainable(WEIGHTS, whole_embeddings=True))


@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW_FUSED, Optimizer.ADAMW_FOREACH], ids=str)
def test_a_master_has_fp32_states_and_gradients(optimizer: Optimizer) -> None:
    """The loop of mixed precision: half weights, FP32 master, its gradients made from the half ones."""
    run = TrainRun(method=Method.FULL, optimizer=optimizer, precision=Precision.MASTER_BF16)
    working = parameters(torch.bfloat16)
    masters = [nn.Parameter(tensor.detach().float()) for tensor in working]
    chosen = list(MAKE[optimizer](masters))
    for tensor, master in zip(working, masters, strict=True):
        tensor.grad = torch.randn_like(tensor)
        master.grad = tensor.grad.float()
    chosen[0].step()
    assert held(chosen) == optimizer_states(GROUP, run, state_itemsize(run, 2)).bytes
    copies = master_gradients(GROUP, run)
    assert copies is not None
    assert copies.bytes == sum(master.grad.nbytes for master in masters if master.grad is not None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW_FOREACH, Optimizer.ADAMW_LOOP, Optimizer.MUON], ids=str)
def test_temporaries_equal_a_real_step(optimizer: Optimizer, dtype: torch.dtype) -> None:
    """Once the states exist, a step holds at most the bytes of the rule, and reaches them."""
    tensors = parameters(dtype)
    optimizers = list(MAKE[optimizer](tensors))
    step(optimizers, tensors)
    term = step_temporaries(GROUP, TrainRun(optimizer=optimizer), dtype.itemsize)
    assert term is not None
    assert step(optimizers, tensors) == term.bytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def test_adafactors_temporaries(dtype: torch.dtype) -> None:
    """Whole tensors are counted; the rule leaves out vectors of rows and columns, under 2 % here."""
    tensors = parameters(dtype)
    optimizers = list(MAKE[Optimizer.ADAFACTOR](tensors))
    step(optimizers, tensors)
    term = step_temporaries(GROUP, TrainRun(optimizer=Optimizer.ADAFACTOR), dtype.itemsize)
    assert term is not None
    assert term.bytes <= step(optimizers, tensors) <= 1.02 * term.bytes


@pytest.mark.parametrize(
    "optimizer", [Optimizer.ADAMW_FUSED, Optimizer.SGD, Optimizer.SGD_MOMENTUM, Optimizer.LION], ids=str
)
def test_steps_in_place_hold_nothing(optimizer: Optimizer) -> None:
    """Where the rule has no term, a real step allocates no tensor of a parameter's size."""
    tensors = parameters(torch.float32)
    optimizers = list(MAKE[optimizer](tensors))
    step(optimizers, tensors)
    assert step_temporaries(GROUP, TrainRun(optimizer=optimizer), 4) is None
    assert step(optimizers, tensors) < 300
