"""The stand-in's autocast against CUDA's own, on fake CUDA tensors: which operators it casts, and what they return."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from vramcast.trace import autocast, standin

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
IGNORED = {
    *("lstm_cell", "gru_cell", "rnn_relu_cell", "rnn_tanh_cell", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"),
    *("cudnn_convolution", "cudnn_convolution_transpose", "binary_cross_entropy"),
}


@contextmanager
def on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Autocast for fake tensors of `device`; torch.autocast itself refuses CUDA where there is none."""
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, dtype)
    try:
        with FakeTensorMode(), torch.device(device):
            yield
    finally:
        torch.set_autocast_enabled(device, False)


def test_every_operator_that_cuda_casts_is_cast() -> None:
    """torch's dispatcher has a CUDA autocast kernel for the four lists and the operators that are left out, no other."""
    own = {
        name.removeprefix("aten::")
        for name in torch._C._dispatch_get_all_op_names()
        if torch._C._dispatch_has_kernel_for_dispatch_key(name, "AutocastCUDA")
    }
    ours = [*autocast.LOWER, *autocast.FP32, *autocast.FP32_DTYPE, *autocast.PROMOTE]
    assert own == set(ours) | IGNORED
    assert len(ours) == len(set(ours)) and not IGNORED & set(ours)


def square(dtype: torch.dtype) -> Tensor:
    """Numbers of no value."""
    return torch.empty(8, 8, dtype=dtype)


Operation = Callable[[Tensor, Tensor], Tensor]
LOWER: dict[str, Operation] = {
    "linear": lambda x, y: functional.linear(x, y, y.select(0, 0)),
    "matmul": lambda x, y: x @ y,
    "addmm": lambda x, y: torch.addmm(x, y, x),
    "baddbmm": lambda x, y: torch.baddbmm(x.view(1, 8, 8), y.view(1, 8, 8), x.view(1, 8, 8)),
    "einsum": lambda x, y: torch.einsum("ij,kj->ik", x, y),
    "conv1d": lambda x, y: functional.conv1d(x.view(1, 8, 8), y.view(8, 8, 1)),
    "attention": lambda x, y: functional.scaled_dot_product_attention(
        x.view(1, 1, 8, 8), y.view(1, 1, 8, 8), y.view(1, 1, 8, 8)
    ),
}
IN_FP32: dict[str, Operation] = {
    "exp": lambda x, _: x.exp(),
    "rsqrt": lambda x, _: x.rsqrt(),
    "pow": lambda x, _: x.pow(2),
    "softplus": lambda x, _: functional.softplus(x),
    "layer_norm": lambda x, y: functional.layer_norm(x, (8,), y.select(0, 0)),
    "rms_norm": lambda x, y: functional.rms_norm(x, (8,), y.select(0, 0)),
    "norm": lambda x, _: x.norm(),
    "nll_loss": lambda x, _: functional.nll_loss(x, torch.zeros(8, dtype=torch.long)),
    "cross_entropy": lambda x, _: functional.cross_entropy(x, torch.zeros(8, dtype=torch.long)),
    "mse_loss": functional.mse_loss,
    "softmax": lambda x, _: x.softmax(-1),
    "log_softmax": lambda x, _: x.log_softmax(-1),
    "sum": lambda x, _: x.sum(),
    "cumsum": lambda x, _: x.cumsum(0),
    "vector_norm": lambda x, _: torch.linalg.vector_norm(x),
    "upsample": lambda x, _: functional.interpolate(x.view(1, 1, 8, 8), scale_factor=2.0),
}
PROMOTED: dict[str, Operation] = {
    "addcmul": lambda x, y: torch.addcmul(x, y, y),
    "cross": lambda x, y: torch.cross(x.narrow(1, 0, 3), y.narrow(1, 0, 3), dim=1),
    "index_put": lambda x, y: x.index_put((torch.zeros(8, dtype=torch.long),), y.select(0, 0)),
    "scatter_add": lambda x, y: x.scatter_add(0, torch.zeros(8, 8, dtype=torch.long), y),
}
LEFT_ALONE: dict[str, Operation] = {
    "silu": lambda x, _: functional.silu(x),
    "gelu": lambda x, _: functional.gelu(x),
    "mul": lambda x, _: x * x,
    "cat": lambda x, _: torch.cat((x, x)),
    "mean": lambda x, _: x.mean(),
    "embedding": lambda x, _: functional.embedding(torch.zeros(3, dtype=torch.long), x),
    "softmax with a dtype": lambda x, _: x.softmax(-1, dtype=x.dtype),
}


def result(device: str, autocast_to: torch.dtype, operation: Operation, *inputs: torch.dtype) -> torch.dtype:
    """What comes out."""
    with on(device, autocast_to):
        return operation(*(square(dtype) for dtype in inputs)).dtype


CASES: list[Any] = [
    *((name, op, lambda to, _: to) for name, op in LOWER.items()),
    *((name, op, lambda *_: FP32) for name, op in IN_FP32.items()),
    *((name, op, lambda _, given: given) for name, op in LEFT_ALONE.items()),
]


@pytest.mark.parametrize("given", [FP32, BF16])
@pytest.mark.parametrize("to", [BF16, FP16])
@pytest.mark.parametrize(("name", "operation", "expected"), CASES, ids=[name for name, _, _ in CASES])
def test_what_comes_out(name: str, operation: Operation, expected: Any, to: torch.dtype, given: torch.dtype) -> None:
    """Each list gives its number format, on the stand-in as on CUDA."""
    assert result(standin.NAME, to, operation, given, given) == expected(to, given)
    assert result("cuda", to, operation, given, given) == expected(to, given)


@pytest.mark.parametrize("name", PROMOTED)
def test_what_is_promoted(name: str) -> None:
    """Inputs of two formats meet in the wider one; inputs of one stay as they are."""
    for device in (standin.NAME, "cuda"):
        assert result(device, BF16, PROMOTED[name], FP32, BF16) is FP32
        assert result(device, BF16, PROMOTED[name], BF16, FP32) is FP32
        assert result(device, BF16, PROMOTED[name], BF16, BF16) is BF16
