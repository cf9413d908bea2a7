"""Optimizer states and step temporaries, on five tensors whose sums are worked by hand."""

from dataclasses import replace

import pytest

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import Method, Offload, Optimizer, Precision, TrainRun
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.optimizer import (
    bare_trainable,
    master_gradients,
    optimizer_states,
    paged_bytes,
    state_itemsize,
    step_temporaries,
    trainable,
)

WEIGHTS = (
    Weight("embed_tokens", (500, 300), WeightKind.EMBEDDING),  # 150,000: 586 blocks of 256
    Weight("q_proj", (400, 300), WeightKind.LINEAR, 2),  # 120,000 each: 469 blocks, of which the last holds 192
    Weight("router", (30, 200), WeightKind.ROUTER),  # 6,000: 24 blocks
    Weight("experts", (4, 50, 20), WeightKind.EXPERTS),  # 4,000: too small for 8 bits
    Weight("norm", (300,), WeightKind.NORM, 5),
)
EMBEDDING, SQUARES, ROUTER, EXPERTS, NORMS = 150_000, 240_000, 6_000, 4_000, 1_500
TOTAL = EMBEDDING + SQUARES + ROUTER + EXPERTS + NORMS
SMALL = EXPERTS + NORMS  # tensors under 4,096 elements
GROUP = trainable(WEIGHTS)
RUN = TrainRun(method=Method.FULL, precision=Precision.BF16)


def states(optimizer: Optimizer, itemsize: int = 2) -> int:
    """Bytes of the states of all five tensors."""
    return optimizer_states(GROUP, replace(RUN, optimizer=optimizer), itemsize).bytes


@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW_FOREACH, Optimizer.ADAMW_FUSED, Optimizer.ADAMW_LOOP])
@pytest.mark.parametrize("itemsize", [2, 4])
def test_adamw_keeps_two_moments_in_the_parameters_format(optimizer: Optimizer, itemsize: int) -> None:
    """2·s·Φ, however the step is implemented."""
    assert states(optimizer, itemsize) == 2 * itemsize * TOTAL


@pytest.mark.parametrize(("optimizer", "moments"), [(Optimizer.SGD, 0), (Optimizer.SGD_MOMENTUM, 1)])
def test_sgd_keeps_a_momentum_or_nothing(optimizer: Optimizer, moments: int) -> None:
    """0, or s·Φ."""
    assert states(optimizer) == moments * 2 * TOTAL


@pytest.mark.parametrize("itemsize", [2, 4])
def test_adafactor_keeps_rows_and_columns_in_fp32(itemsize: int) -> None:
    """Rows and columns of each matrix and of each expert, vectors whole, all in FP32 even for half parameters."""
    factors = (500 + 300) + 2 * (400 + 300) + (30 + 200) + 4 * (50 + 20)
    assert states(Optimizer.ADAFACTOR, itemsize) == 4 * (factors + NORMS)


def test_muon_keeps_one_buffer_for_matrices_and_two_for_the_rest() -> None:
    """Hidden matrices s·Φ; embeddings, 3-D experts and norms go to AdamW with 2·s·Φ."""
    assert states(Optimizer.MUON) == 2 * (SQUARES + ROUTER) + 2 * 2 * (EMBEDDING + EXPERTS + NORMS)


@pytest.mark.parametrize(("optimizer", "count"), [(Optimizer.ADAMW_8BIT, 2), (Optimizer.LION_8BIT, 1)])
def test_eight_bit_states_have_a_scale_for_each_block_of_a_tensor(optimizer: Optimizer, count: int) -> None:
    """One byte a value and 4 bytes a block, blocks ending with their tensor; small tensors keep FP32."""
    blocks = 586 + 2 * 469 + 24
    large = EMBEDDING + SQUARES + ROUTER
    assert states(optimizer) == count * (large + 4 * blocks + 4 * SMALL)


def test_lion_keeps_one_fp32_state() -> None:
    """4·Φ in bitsandbytes, whatever the parameters' format."""
    assert states(Optimizer.LION, 2) == states(Optimizer.LION, 4) == 4 * TOTAL


def test_paged_states_of_large_tensors_are_elsewhere() -> None:
    """Tensors of 100,000 elements and more are paged; the others keep 8 bytes on the device."""
    assert states(Optimizer.PAGED_ADAMW) == 8 * (ROUTER + SMALL)
    assert paged_bytes(GROUP, Optimizer.PAGED_ADAMW) == 8 * (EMBEDDING + SQUARES)


def test_paged_eight_bit_states_leave_their_scales_on_the_device() -> None:
    """Values of large tensors are paged; every scale, the router's 8-bit states and the small tensors' stay."""
    blocks = 586 + 2 * 469 + 24
    assert states(Optimizer.PAGED_ADAMW_8BIT) == 2 * (ROUTER + 4 * blocks + 4 * SMALL)
    assert paged_bytes(GROUP, Optimizer.PAGED_ADAMW_8BIT) == 2 * (EMBEDDING + SQUARES)


@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW_8BIT, Optimizer.ADAMW_FUSED, Optimizer.LION])
def test_nothing_else_is_paged(optimizer: Optimizer) -> None:
    """Only the paged optimizers use managed memory."""
    assert paged_bytes(GROUP, optimizer) == 0


def test_trainers_keep_embeddings_out_of_eight_bits() -> None:
    """Their moments are FP32: on the device, or paged where they are large."""
    group = trainable(WEIGHTS, whole_embeddings=True)
    run = replace(RUN, optimizer=Optimizer.ADAMW_8BIT)
    blocks = 2 * 469 + 24
    assert optimizer_states(group, run, 2).bytes == 2 * (SQUARES + ROUTER + 4 * blocks + 4 * (SMALL + EMBEDDING))
    assert paged_bytes(group, Optimizer.PAGED_ADAMW_8BIT) == 2 * (SQUARES + 4 * EMBEDDING)
    run = replace(RUN, optimizer=Optimizer.PAGED_ADAMW_8BIT)
    assert optimizer_states(group, run, 2).bytes == 2 * (ROUTER + 4 * blocks + 4 * SMALL)


def test_the_smallest_tensor_with_eight_bits() -> None:
    """4,096 elements are enough, 4,095 are not."""
    run = replace(RUN, optimizer=Optimizer.LION_8BIT)
    enough, short = (trainable((Weight("w", (n,), WeightKind.NORM),)) for n in (4096, 4095))
    assert optimizer_states(enough, run, 2).bytes == 4096 + 4 * 16
    assert optimizer_states(short, run, 2).bytes == 4 * 4095


def test_the_smallest_tensor_that_is_paged() -> None:
    """100,000 elements are enough, 99,999 are not."""
    enough, short = (trainable((Weight("w", (n,), WeightKind.NORM),)) for n in (100_000, 99_999))
    assert paged_bytes(enough, Optimizer.PAGED_ADAMW) == 800_000
    assert paged_bytes(short, Optimizer.PAGED_ADAMW) == 0


@pytest.mark.parametrize(
    ("precision", "method", "itemsize"),
    [
        (Precision.MASTER_BF16, Method.FULL, 4),
        (Precision.MASTER_FP16, Method.FULL, 4),
        (Precision.BF16, Method.FULL, 2),
        (Precision.FP32, Method.FULL, 2),
    ],
)
def test_states_of_a_master_are_fp32(precision: Precision, method: Method, itemsize: int) -> None:
    """A master is updated in FP32; else states follow the parameter, here of two bytes."""
    assert state_itemsize(replace(RUN, precision=precision, method=method), 2) == itemsize


def test_offloaded_states_take_nothing_on_the_device() -> None:
    """They are on the host, and so is the step."""
    run = replace(RUN, optimizer=Optimizer.ADAMW_FOREACH, offload=Offload.OPTIMIZER)
    term = optimizer_states(GROUP, run, 2)
    assert (term.bytes, term.label) == (0, "adamw-foreach states (on the host)")
    assert step_temporaries(GROUP, run, 2) is None
    assert master_gradients(GROUP, replace(run, precision=Precision.MASTER_BF16)) is None


@pytest.mark.parametrize(
    ("optimizer", "itemsize", "size"),
    [
        (Optimizer.ADAMW_FOREACH, 2, 2 * TOTAL),
        (Optimizer.ADAMW_LOOP, 2, 2 * 2 * EMBEDDING),
        (Optimizer.ADAFACTOR, 2, 4 * 4 * EMBEDDING),
        (Optimizer.ADAFACTOR, 4, 2 * 4 * EMBEDDING),
        (Optimizer.MUON, 2, (2 + 4) * 120_000 + 4 * 300**2),
        (Optimizer.MUON, 4, (4 + 4) * 120_000 + 4 * 300**2),
    ],
)
def test_temporaries_of_a_step(optimizer: Optimizer, itemsize: int, size: int) -> None:
    """The square roots at once, one tensor's update, FP32 copies, or the orthogonalisation of one matrix."""
    term = step_temporaries(GROUP, replace(RUN, optimizer=optimizer), itemsize)
    assert term is not None
    assert (term.bytes, term.category, term.phase) == (size, Category.TEMPORARY, Phase.OPTIMIZER_STEP)


def test_muon_beside_large_embeddings_is_as_adamw() -> None:
    """Where the square roots of the other tensors' moments are larger, they are the peak of the step."""
    group = trainable((Weight("embed_tokens", (5000, 300), WeightKind.EMBEDDING), *WEIGHTS[1:]))
    term = step_temporaries(group, replace(RUN, optimizer=Optimizer.MUON), 2)
    assert term is not None
    assert term.bytes == 2 * (1_500_000 + EXPERTS + NORMS)


@pytest.mark.parametrize(
    "optimizer",
    [Optimizer.ADAMW_FUSED, Optimizer.SGD, Optimizer.SGD_MOMENTUM, Optimizer.LION, Optimizer.ADAMW_8BIT],
)
def test_steps_in_place_allocate_nothing(optimizer: Optimizer) -> None:
    """Fused and bitsandbytes kernels, and SGD, update in place."""
    assert step_temporaries(GROUP, replace(RUN, optimizer=optimizer), 2) is None


def test_a_master_needs_fp32_gradients() -> None:
    """4·Φ while the optimizer steps; nothing without a master."""
    term = master_gradients(GROUP, replace(RUN, precision=Precision.MASTER_FP16))
    assert term is not None
    assert term.bytes == 4 * TOTAL
    assert master_gradients(GROUP, RUN) is None


@pytest.mark.parametrize(
    ("optimizer", "size"),
    [
        (Optimizer.ADAMW_FUSED, 4000),
        (Optimizer.ADAMW_8BIT, 2 * (1000 + 4 * 4)),
        (Optimizer.MUON, 2000),
        (Optimizer.ADAFACTOR, 0),
    ],
)
def test_a_bare_size_is_one_large_matrix(optimizer: Optimizer, size: int) -> None:
    """Without shapes 1,000 parameters are taken as one hidden matrix; factored moments are not known."""
    assert optimizer_states(bare_trainable(1000), replace(RUN, optimizer=optimizer), 2).bytes == size


@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_optimizer_says_where_its_figure_comes_from(optimizer: Optimizer) -> None:
    """No optimizer of the vocabulary lacks a rule or a source."""
    term = optimizer_states(GROUP, replace(RUN, optimizer=optimizer), 2)
    assert term.source
    assert term.formula
    assert optimizer.value in term.label
