"""An operator that does not run on shapes alone is told by its name and its module, in a program and in a forecast."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaMLP

import vramcast
from tests.trace.test_build import LLAMA, run
from vramcast.catalog.stacks import find_stack
from vramcast.cli.run import BAD_INPUT
from vramcast.cli.run import run as run_cli
from vramcast.domain.errors import UnsupportedError
from vramcast.trace.forecast import trace_run

NO_FAKE = "operator vramcast_tests.twice.default"
BY_SHAPE, BY_VALUE = "does not run on shapes alone", "depends on values"


@torch.library.custom_op("vramcast_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    """An operator of one's own, for which nobody has written a fake."""
    return x * 2


def doubled(x: Tensor) -> Tensor:
    """Through torch's dispatcher, as compiled extensions are called."""
    result: Tensor = torch.ops.vramcast_tests.twice(x)
    return result


def counted(x: Tensor) -> Tensor:
    """As many rows as there are different values."""
    return x + x.detach().to(torch.long).flatten().bincount().sum()


def sparse(x: Tensor) -> Tensor:
    """No kernel makes such a tensor on this device."""
    return x + x.detach().to_sparse().sum()


class _Backward(torch.autograd.Function):
    """Nothing forward; the operator it is called with, backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.operator = operator
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.operator(gradients[0]), None


OPERATORS = [
    pytest.param(doubled, NO_FAKE, BY_SHAPE, id="custom"),
    pytest.param(counted, "operator aten.bincount.default", BY_VALUE, id="values"),
    pytest.param(sparse, "operator aten._to_sparse.default", BY_SHAPE, id="no-kernel"),
]


class Odd(nn.Module):
    """A layer with such an operator, forward or backward."""

    def __init__(self, operator: Callable[[Tensor], Tensor], *, backward: bool) -> None:
        super().__init__()
        self.operator = operator
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        """The operator, now or later."""
        later: Callable[..., Tensor] = _Backward.apply
        return later(x, self.operator) if self.backward else self.operator(x)


@pytest.fixture
def odd_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Patches transformers' gated MLP so that it ends with the operator."""
    plain: Callable[..., Tensor] = LlamaMLP.forward

    def put(operator: Callable[[Tensor], Tensor], *, backward: bool) -> None:
        odd = Odd(operator, backward=backward)
        monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: odd.forward(plain(self, x)))

    yield put
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("operator", "name", "why"), OPERATORS)
def test_in_a_program(operator: Callable[[Tensor], Tensor], name: str, why: str, *, backward: bool) -> None:
    """The error names operator, module and pass, and every mode of torch is gone behind it."""

    def program() -> None:
        with vramcast.trace():
            net = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Odd(operator, backward=backward))).cuda()
            net(torch.zeros(2, 8, device="cuda")).sum().backward()

    with pytest.raises(UnsupportedError) as caught:
        program()
    assert name in caught.value.what and why in caught.value.what and caught.value.hint
    assert f"in {'the backward pass of ' if backward else ''}module 1.0 " in caught.value.what
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    assert float(torch.ones(2).sum()) == 2.0


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("operator", "name", "why"), OPERATORS)
def test_in_a_forecast(
    operator: Callable[[Tensor], Tensor], name: str, why: str, *, backward: bool, odd_model: Callable[..., None]
) -> None:
    """The same words where our own driver runs a model of transformers'."""
    odd_model(operator, backward=backward)
    with pytest.raises(UnsupportedError) as caught:
        trace_run(LLAMA, run(), find_stack("torch"), None)
    assert name in caught.value.what and why in caught.value.what and caught.value.hint
    assert f"{'the backward pass of ' if backward else ''}module model.layers." in caught.value.what
    assert ".mlp cannot be followed" in caught.value.what


def test_on_the_command_line(
    odd_model: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and the exit code of bad input, from `predict` and from `trace`; no traceback."""
    odd_model(doubled, backward=False)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA))
    assert run_cli(["predict", str(config), "--method", "full", "--exact", "--gpu", "rtx-4090"]) == BAD_INPUT
    predicted = capsys.readouterr()
    script = tmp_path / "odd.py"
    script.write_text("import torch\ntorch.ops.vramcast_tests.twice(torch.zeros(2, device='cuda'))\n")
    assert run_cli(["trace", str(script)]) == BAD_INPUT
    traced = capsys.readouterr()
    assert not predicted.out and not traced.out
    assert predicted.err.startswith(f"error: {NO_FAKE} in module model.layers.0.mlp cannot be followed")
    assert f"error: odd.py line 2: {NO_FAKE} cannot be followed" in traced.err
    for err in (predicted.err, traced.err):
        assert 'try: a custom operator needs a fake that gives its shapes: torch.library.register_fake("' in err
        assert "Traceback" not in err


def test_a_programs_own_fault_stays_its_own() -> None:
    """Shapes that do not go together are the program's error; a note says where."""
    with pytest.raises(RuntimeError, match="same reduction dim") as caught, vramcast.trace():
        nn.Sequential(nn.Linear(8, 8)).cuda()(torch.zeros(2, 7, device="cuda"))
    assert caught.value.__notes__ == ["operator aten.addmm.default in module 0"]
