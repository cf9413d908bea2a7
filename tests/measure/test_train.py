"""Real training runs: their bytes at the ends of phases worked out by hand, their losses compared."""

import pytest
import torch

from tests.measure.tiny import LLAMA, run
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Phase
from vramcast.domain.run import AttentionKernel, Loss, Optimizer, Precision
from vramcast.measure.measured import Measured
from vramcast.measure.real_run import train
from vramcast.measure.storages import live_bytes
from vramcast.measure.update import Learning

D, FF, V, LAYERS, KV = 64, 96, 256, 2, 32
BLOCK = 2 * D * D + 2 * D * KV + 3 * D * FF + 2 * D
WEIGHTS = 2 * V * D + LAYERS * BLOCK + D
TENSORS = 2 + LAYERS * 9 + 1
STEP = 4 * TENSORS  # AdamW counts the steps of every tensor in FP32, on the host
ROTARY = 2 * 4 * 8  # the frequencies and their copy: FP32, half the head dim
SCALE = 8  # of the loss: its value and its counter


def held(measured: Measured, name: str) -> int:
    """What the run itself held when the phase ended: what the test holds is not its."""
    return measured.reading(name).held


@pytest.mark.parametrize(
    ("precision", "weights", "gradients", "states", "more"),
    [
        (Precision.FP32, 4, 4, 8, 0),
        (Precision.BF16, 2, 2, 4, 0),
        (Precision.FP16, 2, 2, 4, 0),
        (Precision.AMP_BF16, 4, 4, 8, 0),
        (Precision.AMP_FP16, 4, 4, 8, SCALE),
        (Precision.MASTER_BF16, 4 + 2, 2, 8, 0),
        (Precision.MASTER_FP16, 4 + 2, 2, 8, SCALE),
    ],
)
def test_bytes_a_weight_between_phases(
    precision: Precision, weights: int, gradients: int, states: int, more: int
) -> None:
    """Weights, gradients and moments are there to the byte: 16 a weight with a master copy as in FP32, 8 in pure BF16."""
    before = live_bytes("cpu") + ROTARY
    measured = train(LLAMA, run(precision), device="cpu")
    kept = weights * WEIGHTS + states * WEIGHTS + STEP + more
    assert held(measured, "step 1 update") - before == kept
    assert held(measured, "step 2 backward") - before == kept + gradients * WEIGHTS
    assert held(measured, "step 2 update") - before == kept
    assert measured.peak.allocated > held(measured, "step 2 backward")
    assert [one.phase for one in measured.readings[1:4]] == [Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER_STEP]


def test_losses_of_master_and_fp32_agree_and_fall() -> None:
    """Twelve steps on the text: half precision with a master follows FP32, pure BF16 strays further."""
    learning = Learning(rate=2e-3)
    losses = {
        precision: torch.tensor(
            [one.loss for one in train(LLAMA, run(precision), device="cpu", steps=12, learning=learning).steps]
        )
        for precision in (Precision.FP32, Precision.MASTER_BF16, Precision.MASTER_FP16, Precision.BF16)
    }
    right = losses.pop(Precision.FP32)
    assert right[-1] < right[0] - 0.5
    apart = {precision: (loss - right).abs().max().item() for precision, loss in losses.items()}
    assert apart[Precision.MASTER_FP16] < apart[Precision.MASTER_BF16] < 0.05
    assert apart[Precision.BF16] > 1.5 * apart[Precision.MASTER_BF16]


def test_accumulation_evaluation_and_saving() -> None:
    """Micro-batches have phases of their own; evaluation and saving come last; a seed gives the same run again."""
    asked = run(accum_steps=2, evaluate=True, save=True)
    first, second = (train(LLAMA, asked, device="cpu", steps=1, seed=3) for _ in range(2))
    names = [one.name for one in first.readings]
    assert names == [
        *("load", "step 1 forward 1", "step 1 backward 1", "step 1 forward 2", "step 1 backward 2", "step 1 update"),
        *("evaluate", "save"),
    ]
    assert first.steps[0].loss == second.steps[0].loss
    assert first.reading("save").held == first.reading("evaluate").held


@pytest.mark.parametrize("optimizer", [one for one in Optimizer if one is not Optimizer.ADAMW_FOREACH])
def test_every_optimizer_steps(optimizer: Optimizer) -> None:
    """Each updates real weights; a paged one says that there is nothing to page on the CPU."""
    measured = train(LLAMA, run(optimizer=optimizer), device="cpu", steps=2, learning=Learning(rate=1e-2))
    assert measured.steps[0].loss != measured.steps[1].loss
    assert any("plain memory" in note for note in measured.notes) == optimizer.startswith("paged")


def test_what_no_plain_loop_does_is_refused() -> None:
    """A loss, or a kernel that is not here, is refused by name before anything is loaded."""
    with pytest.raises(UnsupportedError, match="chunked loss"):
        train(LLAMA, run(loss=Loss.CHUNKED), device="cpu")
    with pytest.raises(UnsupportedError, match="cudnn attention on the CPU"):
        train(LLAMA, run(attention=AttentionKernel.CUDNN), device="cpu")
    with pytest.raises(InputError, match="cannot read the config"):
        train({"model_type": "no such"}, run(), device="cpu")
    with pytest.raises(InputError, match="text is empty"):
        train(LLAMA, run(), device="cpu", text=b"")
