"""What a traced training step on the stand-in device is made of."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.trace.cpu_truth import real_curve, stack, traced_curve
from tests.trace.standin_step import standin_step
from tests.trace.tiny_models import FAMILIES, tiny
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Loss, Method, Offload, Optimizer, Precision, TrainRun
from vramcast.trace import standin

BF16, FP32, FP16 = torch.bfloat16, torch.float32, torch.float16
BATCH: dict[str, Any] = {"seq_len": 12, "micro_batch": 2}
TRAINER = stack("hf-trainer", holds_logits="no", embedding_states="fp32")
AMP = TrainRun(**BATCH, precision=Precision.AMP_BF16)


def parameters(family: str, dtype: torch.dtype) -> list[nn.Parameter]:
    """Those of the model, without bytes."""
    with torch.device("meta"):
        return list(tiny(family, dtype)().parameters())


def bytes_of(parameters: list[nn.Parameter], itemsize: int) -> int:
    """With elements of this size."""
    return sum(p.numel() * itemsize for p in parameters)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_gradients_and_states_are_the_models(family: str) -> None:
    """Blocks are called after what they are: one of each parameter's size for its gradient, two for its moments."""
    own = parameters(family, BF16)
    held = standin_step(tiny(family), TrainRun(**BATCH), stack()).held_at("step 2 update")
    assert held[Category.GRADIENTS] == bytes_of(own, 2)
    assert held[Category.OPTIMIZER_STATES] == bytes_of(own, 4)
    assert held[Category.PARAMETERS] >= bytes_of(own, 2)
    assert not held[Category.TEMPORARY]


@pytest.mark.parametrize("way", ["", "hooks", "reentrant"])
def test_nothing_is_unexplained_and_logits_end_with_the_projection(way: str) -> None:
    """Every block has a name; no block of a layer is called logits, none of the loss is called an activation."""
    step = standin_step(tiny("llama", FP32, checkpointing=way), AMP, stack(), evaluate=True)
    assert not step.of(Category.UNEXPLAINED)
    assert {block.layer for block in step.of(Category.LOGITS)} == {-1}
    assert {block.module for block in step.of(Category.LOGITS)} == {"", "lm_head"}
    kept = [block for block in step.of(Category.ACTIVATIONS) if block.phase is Phase.BACKWARD]
    assert bool(kept) == bool(way)
    assert not [block for block in kept if block.layer < 0]


def test_autocasts_copies_of_weights_are_weights() -> None:
    """In the forward pass autocast copies each matrix once, in half the bytes of its FP32 weights."""
    with torch.device("meta"):
        model = tiny("llama", FP32)()
    matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    step = standin_step(tiny("llama", FP32), AMP, stack(), steps=1)
    copies = [block for block in step.of(Category.PARAMETERS) if block.phase is Phase.FORWARD]
    assert sorted(block.bytes for block in copies) == sorted(2 * weight.numel() for weight in matrices)


@pytest.mark.parametrize(
    ("family", "way", "frozen"),
    [
        ("llama", "", False),
        ("qwen3", "", True),
        ("qwen3", "hooks", False),
        ("llama", "hooks", True),
        ("qwen3", "reentrant", False),
        ("llama", "reentrant", True),
    ],
)
def test_cudas_autocast_agrees_with_the_cpus_where_their_lists_agree(family: str, way: str, *, frozen: bool) -> None:
    """Eager attention, products and norms in FP32: the stand-in's births equal those of a real step on the CPU."""

    def build() -> nn.Module:
        model = tiny(family, FP32, checkpointing=way, attention="eager")()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not frozen or "up_proj" in name or "embed" in name)
        return model

    run = TrainRun(**BATCH, precision=Precision.AMP_BF16, optimizer=Optimizer.SGD_MOMENTUM)
    real = real_curve(build, run, TRAINER, evaluate=True)
    assert traced_curve(build, run, TRAINER, device=standin.NAME, evaluate=True) == real


def test_fused_optimizer_keeps_its_counters_on_the_device() -> None:
    """One FP32 scalar a parameter beside its two moments."""
    own = parameters("llama", BF16)
    run = TrainRun(**BATCH, optimizer=Optimizer.ADAMW_FUSED)
    held = standin_step(tiny("llama"), run, stack()).held_at("step 2 forward")
    assert held[Category.OPTIMIZER_STATES] == bytes_of(own, 4) + 4 * len(own)


@pytest.mark.parametrize(("optimizer", "bits"), [(Optimizer.PAGED_ADAMW, 32), (Optimizer.PAGED_ADAMW_8BIT, 8)])
def test_large_paged_states_are_not_the_devices(optimizer: Optimizer, bits: int) -> None:
    """States of tensors of 100,000 elements and more are told apart and counted nowhere else."""

    def build() -> nn.Module:
        model = tiny("llama")()
        layers: Any = model.get_submodule("model.layers")
        layers[0].mlp.up_proj = nn.Linear(32, 4000, bias=False, dtype=BF16)
        layers[0].mlp.gate_proj = nn.Linear(32, 4000, bias=False, dtype=BF16)
        layers[0].mlp.down_proj = nn.Linear(4000, 32, bias=False, dtype=BF16)
        return model

    step = standin_step(build, TrainRun(**BATCH, optimizer=optimizer), stack())
    assert step.paged == 3 * 2 * 128_000 * bits // 8
    assert max(block.bytes for block in step.of(Category.OPTIMIZER_STATES)) < 100_000


def test_offloaded_states_are_not_the_devices() -> None:
    """Masters and moments on the host leave weights and gradients on the device."""
    own = parameters("llama", BF16)
    run = TrainRun(**BATCH, offload=Offload.OPTIMIZER)
    held = standin_step(tiny("llama"), run, stack()).held_at("step 2 update")
    assert held[Category.OPTIMIZER_STATES] == 0
    assert held[Category.GRADIENTS] == bytes_of(own, 2)


@pytest.mark.parametrize("precision", [Precision.MASTER_BF16, Precision.MASTER_FP16])
def test_masters_are_states(precision: Precision) -> None:
    """An FP32 master and two FP32 moments a parameter; the gradients' FP32 copies pass with the update."""
    dtype = FP16 if precision is Precision.MASTER_FP16 else BF16
    own = parameters("qwen3", dtype)
    step = standin_step(tiny("qwen3", dtype), TrainRun(**BATCH, precision=precision), TRAINER)
    held = step.held_at("step 2 forward")
    scale = 8 if precision is Precision.MASTER_FP16 else 0
    assert held[Category.OPTIMIZER_STATES] == bytes_of(own, 12) + scale
    assert held[Category.GRADIENTS] == 0


@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_optimizer_runs_on_the_stand_in(optimizer: Optimizer) -> None:
    """No optimizer asks the device for what it has not; the third step holds what the second one held."""
    run = TrainRun(**BATCH, optimizer=optimizer, precision=Precision.AMP_FP16, accum_steps=2)
    step = standin_step(tiny("llama", FP32), run, TRAINER, steps=3)
    assert step.held_at("step 3 backward 2") == step.held_at("step 2 backward 2")


@pytest.mark.parametrize("holds", ["yes", "no"])
def test_a_plain_loop_holds_its_logits_through_the_backward_pass(holds: str) -> None:
    """In half precision: 2 bytes a token and entry of the vocabulary more, where the outputs stay referenced."""
    step = standin_step(tiny("llama"), TrainRun(**BATCH), stack(holds_logits=holds))
    held = step.held_at("step 2 backward")[Category.LOGITS]
    logits = BATCH["seq_len"] * BATCH["micro_batch"] * 160
    assert held - 4 * logits - (2 * logits if holds == "yes" else 0) < 1024


def test_chunked_loss_needs_a_plain_projection() -> None:
    """A projection with an adapter is refused by name."""

    def build() -> nn.Module:
        model = tiny("llama")()
        model.lm_head = nn.Sequential(model.get_submodule("lm_head"))
        return model

    run = TrainRun(**BATCH, loss=Loss.CHUNKED, method=Method.FULL)
    with pytest.raises(UnsupportedError, match="Sequential"):
        standin_step(build, run, TRAINER)
