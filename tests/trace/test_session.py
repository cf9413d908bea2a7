"""What is traced as it really runs: tied weights, adapters' formats, attention by default, autocast, constants in backward."""

from typing import Any

import pytest
import torch

from tests.models import TINY
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Adapter, AttentionKernel, Method, TrainRun
from vramcast.trace import standin
from vramcast.trace.build import build
from vramcast.trace.session import tracing

TIED: dict[str, Any] = TINY | {"tie_word_embeddings": True}
GEMMA2: dict[str, Any] = TINY | {"model_type": "gemma2", "head_dim": 32, "pad_token_id": 0}


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights(tied: bool) -> None:
    """Embedding and output projection are one tensor where the config says so, and only there."""
    model: Any = build(TINY | {"tie_word_embeddings": tied}, TrainRun()).model
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is tied


@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers' own, about names that PEFT still uses
@pytest.mark.parametrize(("fp32", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_format_of_adapters(fp32: bool, expected: torch.dtype) -> None:
    """Adapters on half-precision weights are FP32 where PEFT keeps them so, else as the weights are."""
    model = build(TINY, TrainRun(method=Method.LORA, adapter=Adapter(rank=4, fp32=fp32))).model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {expected}


def test_attention_without_a_kernel_of_its_own() -> None:
    """A family whose code has no SDPA runs eager attention, and refuses a kernel of SDPA by name."""
    config: Any = build(GEMMA2, TrainRun()).model.config
    assert config._attn_implementation == "eager"
    with pytest.raises(UnsupportedError, match="gemma2 has no SDPA that could run efficient"):
        build(GEMMA2, TrainRun(attention=AttentionKernel.EFFICIENT))


@pytest.mark.parametrize(("device", "expected"), [("standin", True), ("cpu", False)])
def test_autocast_asked_without_a_device(device: str, expected: bool) -> None:
    """Code that asks whether autocast is on and names no device means CUDA, which the stand-in stands for."""
    with tracing(device), torch.autocast(device, dtype=torch.bfloat16):
        assert torch.is_autocast_enabled() is expected
    assert not torch.is_autocast_enabled()


class _Picks(torch.autograd.Function):
    """Its backward picks with a list, of which torch makes a tensor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        assert x[..., [-2], :].shape == (2, 1, 5)
        return gradients[0]


def test_constants_in_the_backward_pass() -> None:
    """Autograd's own thread makes constants without a device too, as recomputed code of Falcon does."""
    with tracing():
        x = torch.zeros(2, 4, 5, requires_grad=True)
        _Picks.apply(x).sum().backward()
        assert x.grad is not None


def test_autocast_begins_as_cudas() -> None:
    """FP16 unless another format is named, whatever a program before this one chose."""
    with tracing():
        torch.set_autocast_dtype(standin.NAME, torch.bfloat16)
    with tracing():
        assert torch.get_autocast_dtype(standin.NAME) is torch.float16
