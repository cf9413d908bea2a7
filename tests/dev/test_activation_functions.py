"""What activation functions keep: the closed form against transformers' own functions."""

import pytest
import torch
from transformers.activations import ACT2FN

from tests.models import TINY, model
from vramcast.domain.run import Kernels, TrainRun
from vramcast.rules.saved.feed_forward import ACTIVATION_TENSORS, activated
from vramcast.rules.saved.ops import rate
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import sizes_of

WIDTH = 64


@pytest.mark.parametrize("name", [*ACTIVATION_TENSORS, "relu", "silu", "gelu", "gelu_pytorch_tanh", "tanh", "sigmoid"])
def test_activations_keep_what_the_rules_say(name: str) -> None:
    """Every activation of the table, and those that torch runs as one operator, keep as many tensors as the rule says."""
    tape = Tape(sizes_of(model(TINY), TrainRun(kernels=Kernels.EAGER), frozenset()))
    activated(tape, name, Value(WIDTH, 2, "F"))
    assert rate(tape.cut()).total(1, 1) == _kept(name)


def _kept(name: str) -> int:
    function = ACT2FN[name]
    small = {tensor.untyped_storage().data_ptr() for tensor in (*function.parameters(), *function.buffers())}
    x = torch.randn(WIDTH, dtype=torch.bfloat16, requires_grad=True) * 1
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        function(x)
    return sum(tensor.nbytes for place, tensor in kept.items() if place not in small and tensor.numel() > 1)
