"""What each piece of mixed precision is for, on models of a few weights."""

import pytest
import torch
from torch import Tensor, nn

from vramcast.domain.run import Optimizer, Precision, TrainRun
from vramcast.measure.update import Learning, Scaling, Update

TINY_GRADIENT = 2.0**-26  # a quarter of the smallest number of FP16
START = 2.0**16


class Product(nn.Module):
    """`w · x`, whose gradient is x."""

    def __init__(self, start: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((4,), start, dtype=dtype))

    def gradient(self, size: float, update: Update) -> Tensor | None:
        """A backward pass that gives each weight a gradient of `size`, through the loss scale."""
        loss = (self.weight.float() * size).sum()
        update.scaled(loss).backward()
        return self.weight.grad


def made(precision: Precision, learning: Learning, start: float = 1.0) -> tuple[Product, Update]:
    """A model in the format that the precision starts from, and its update."""
    pure = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
    model = Product(start, pure.get(precision, torch.float32))
    return model, Update(model, TrainRun(precision=precision, optimizer=Optimizer.ADAMW_LOOP), "cpu", learning)


@pytest.mark.parametrize(("scaling", "moves"), [(None, False), (Scaling(), True)])
def test_fp16_without_scaling_loses_small_gradients(scaling: Scaling | None, moves: bool) -> None:
    """A gradient below FP16's range is zero and nothing is learnt; scaled, it gets through and the master moves."""
    model, update = made(Precision.MASTER_FP16, Learning(rate=1e-2, scaling=scaling))
    before = update.updated[0].clone()
    gradient = model.gradient(TINY_GRADIENT, update)
    assert gradient is not None
    assert gradient.dtype == torch.float16
    assert bool(gradient.count_nonzero()) is moves
    update.step()
    # AdamW decays weights whatever the gradient is; the moment tells whether it saw one.
    (state,) = update.optimizers[0].state.values()
    assert bool(state["exp_avg"].count_nonzero()) is moves
    if moves:
        assert not torch.equal(update.updated[0], before)
        assert state["exp_avg"][0].item() == pytest.approx(0.1 * TINY_GRADIENT)  # unscaled again


def test_the_scale_backs_off_on_overflow_and_grows_again() -> None:
    """An overflow skips the step and halves the scale; after `interval` good steps it doubles."""
    model, update = made(Precision.MASTER_FP16, Learning(scaling=Scaling(start=START, interval=3)))
    before = update.updated[0].clone()
    model.gradient(2.0, update)  # 2 · 2¹⁶ is beyond FP16's 65,504
    update.step()
    assert update.scale == START / 2
    assert torch.equal(update.updated[0], before)
    scales = []
    for _ in range(3):
        model.gradient(1.0, update)
        update.step()
        scales.append(update.scale)
    assert scales == [START / 2, START / 2, START]
    assert not torch.equal(update.updated[0], before)


def test_without_scaling_an_fp16_overflow_ruins_the_weights() -> None:
    """A gradient beyond FP16's range becomes infinite and nobody stops it."""
    model, update = made(Precision.MASTER_FP16, Learning(scaling=None))
    model.gradient(1e5, update)
    update.step()
    assert not model.weight.isfinite().any()


def test_pure_bf16_loses_small_updates_that_the_master_keeps() -> None:
    """Steps of 1e-4 at 1.0 are less than half a gap of BF16: pure weights never move, the master adds them up."""
    learning = Learning(rate=1e-4)
    (pure, pure_update), (copy, update) = (made(p, learning) for p in (Precision.BF16, Precision.MASTER_BF16))
    for _ in range(100):
        for model, one in ((pure, pure_update), (copy, update)):
            model.gradient(1.0, one)
            one.step()
    assert torch.equal(pure.weight, torch.ones(4, dtype=torch.bfloat16))
    assert update.updated[0][0].item() == pytest.approx(0.99, abs=1e-3)
    assert copy.weight.dtype == torch.bfloat16
    assert torch.equal(copy.weight, update.updated[0].bfloat16())


def test_bf16_is_not_scaled() -> None:
    """BF16 has FP32's range: there is no loss scale."""
    _, update = made(Precision.MASTER_BF16, Learning())
    loss = torch.ones(())
    assert update.scaled(loss) is loss
    assert update.scale == 1.0
