"""
Optimizer states, and what a step allocates on top.

Letters: Φ_t trainable parameters, s bytes an element.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Phase, Term
from vramcast.domain.run import Offload, Optimizer, TrainRun
from vramcast.domain.weights import Weight, WeightKind

BLOCK_8BIT = 256  # values that share one FP32 scale in bitsandbytes' 8-bit states
SMALLEST_8BIT = 4096  # smaller tensors keep FP32 states
SMALLEST_PAGED = 100_000  # smaller tensors keep their states on the device
BNB = "bitsandbytes 0.50 optim/optimizer.py, functional.py"


class Trainable(NamedTuple):
    """What an optimizer needs to know of the tensors it updates, in elements."""

    total: int
    largest: int
    large_8bit: int  # in tensors that get 8-bit states
    paged: int  # in tensors whose states are paged
    factored: int  # elements of Adafactor's row and column moments
    unfactored: int  # elements of tensors that Adafactor does not factor
    matrices: int  # in hidden matrices, which Muon orthogonalises
    largest_matrix: int


@lru_cache(maxsize=256)
def trainable(weights: tuple[Weight, ...]) -> Trainable:
    """Sums over the tensors that are trained."""
    hidden = (WeightKind.LINEAR, WeightKind.ROUTER)
    return Trainable(
        total=sum(w.parameters for w in weights),
        largest=max((w.numel for w in weights), default=0),
        large_8bit=sum(w.parameters for w in weights if w.numel >= SMALLEST_8BIT),
        paged=sum(w.parameters for w in weights if w.numel >= SMALLEST_PAGED),
        factored=sum(w.count * _factors(w.shape) for w in weights if len(w.shape) > 1),
        unfactored=sum(w.parameters for w in weights if len(w.shape) == 1),
        matrices=sum(w.parameters for w in weights if w.kind in hidden and len(w.shape) == 2),
        largest_matrix=max((w.numel for w in weights if w.kind in hidden), default=0),
    )


def _factors(shape: tuple[int, ...]) -> int:
    *batch, rows, columns = shape
    return prod(batch) * (rows + columns)


def state_itemsize(run: TrainRun, parameter_itemsize: int) -> int:
    """Bytes of one state element in torch's own optimizers: as the parameter they update, FP32 for a master."""
    return 4 if run.precision.has_master and run.method == "full" else parameter_itemsize


def optimizer_states(group: Trainable, run: TrainRun, itemsize: int) -> Term:
    """
    States kept from step to step; `itemsize` is that of one element in torch's own optimizers.

    Formula:  AdamW 2·s·Φ_t; 8-bit 2·Φ_t + 2·4·Φ_t/256 (FP32 for tensors under 4,096 elements); bitsandbytes' 32-bit AdamW
              8·Φ_t, paged: only tensors under 100,000 elements count here; SGD 0, with momentum s·Φ_t; Lion 4·Φ_t, 8-bit
              Φ_t + 4·Φ_t/256; Adafactor s·Σ (rows + columns); Muon s·Φ_matrices + 2·s·Φ_others
    Source:   torch/optim/{adamw,sgd,_muon}.py, transformers optimization.py (Adafactor), bitsandbytes 0.50 optim.
    Ignores:  the step counters (CPU scalars, or 512 B a tensor when fused), shared quantisation maps.
    """
    size, formula, values, source = _states(group, run.optimizer, itemsize)
    label = f"{run.optimizer} states"
    if run.offload is Offload.OPTIMIZER:
        size, formula, values, label = 0, "0", (), f"{label} (on the host)"
    return Term(
        bytes=size,
        category=Category.OPTIMIZER_STATES,
        label=label,
        phase=Phase.RESIDENT,
        formula=formula,
        values=values,
        source=source,
        ignores="step counters, shared quantisation maps",
    )


def _states(group: Trainable, optimizer: Optimizer, s: int) -> tuple[int, str, tuple[tuple[str, float], ...], str]:
    total = group.total
    values: tuple[tuple[str, float], ...] = (("s", s), ("Φ_t", total))
    match optimizer:
        case Optimizer.ADAMW_FOREACH | Optimizer.ADAMW_FUSED | Optimizer.ADAMW_LOOP:
            return 2 * s * total, "2·s·Φ_t", values, "torch/optim/adamw.py"
        case Optimizer.ADAMW_8BIT:
            return _eight_bit(group, 2)
        case Optimizer.PAGED_ADAMW:
            small = total - group.paged
            return 8 * small, "8·Φ_small", (("Φ_small", small),), BNB
        case Optimizer.PAGED_ADAMW_8BIT:
            small = total - group.paged
            return 8 * small, "8·Φ_small", (("Φ_small", small),), BNB
        case Optimizer.ADAFACTOR:
            size = s * (group.factored + group.unfactored)
            factors = (("s", s), ("Σ(rows+columns)", group.factored), ("Φ_1d", group.unfactored))
            return size, "s·(Σ(rows+columns) + Φ_1d)", factors, "arXiv:1804.04235; transformers optimization.py"
        case Optimizer.SGD:
            return 0, "0", (), "torch/optim/sgd.py"
        case Optimizer.SGD_MOMENTUM:
            return s * total, "s·Φ_t", values, "torch/optim/sgd.py"
        case Optimizer.LION:
            return 4 * total, "4·Φ_t", (("Φ_t", total),), f"arXiv:2302.06675; {BNB}"
        case Optimizer.LION_8BIT:
            return _eight_bit(group, 1)
        case Optimizer.MUON:
            others = total - group.matrices
            size = s * (group.matrices + 2 * others)
            split = (("s", s), ("Φ_matrices", group.matrices), ("Φ_others", others))
            return (
                size,
                "s·(Φ_matrices + 2·Φ_others)",
                split,
                "torch/optim/_muon.py, AdamW for what is no hidden matrix",
            )


def _eight_bit(group: Trainable, states: int) -> tuple[int, str, tuple[tuple[str, float], ...], str]:
    large, small = group.large_8bit, group.total - group.large_8bit
    size = states * (large + 4 * -(-large // BLOCK_8BIT) + 4 * small)
    values = (("n", states), ("Φ_8bit", large), ("Φ_small", small))
    return size, "n·(Φ_8bit + 4·⌈Φ_8bit/256⌉ + 4·Φ_small)", values, BNB


def paged_bytes(group: Trainable, optimizer: Optimizer) -> int:
    """
    Bytes of paged states: managed memory that torch does not count and the driver may move to the host.

    Formula:  8 · Φ_paged, or 2 · Φ_paged + 2·4·Φ_paged/256 in 8 bits, over tensors of at least 100,000 elements
    Source:   bitsandbytes 0.50 optim/optimizer.py (page_mng), functional.py (cudaMallocManaged).
    """
    match optimizer:
        case Optimizer.PAGED_ADAMW:
            return 8 * group.paged
        case Optimizer.PAGED_ADAMW_8BIT:
            return 2 * (group.paged + 4 * -(-group.paged // BLOCK_8BIT))
        case _:
            return 0


def step_temporaries(group: Trainable, run: TrainRun, itemsize: int) -> Term | None:
    """
    What the step itself allocates and frees.

    Formula:  foreach AdamW s·Φ_t (square roots of all second moments at once); for-loop 2·s·largest; fused 0;
              Adafactor 2·4·largest (FP32 update); Muon 3·2·largest matrix (Newton-Schulz in BF16)
    Source:   torch/optim/adam.py (_multi_tensor_adam, _single_tensor_adam), _muon.py; transformers optimization.py.
    Ignores:  gradient clipping's scalars.
    """
    match run.optimizer:
        case Optimizer.ADAMW_FOREACH:
            size, formula, letter, count = itemsize * group.total, "s·Φ_t", "Φ_t", group.total
        case Optimizer.ADAMW_LOOP:
            size, formula, letter, count = 2 * itemsize * group.largest, "2·s·largest", "largest", group.largest
        case Optimizer.ADAFACTOR:
            size, formula, letter, count = 8 * group.largest, "2·4·largest", "largest", group.largest
        case Optimizer.MUON:
            size, formula, letter, count = 6 * group.largest_matrix, "3·2·largest", "largest", group.largest_matrix
        case _:
            return None
    if run.offload is Offload.OPTIMIZER:
        return None
    return Term(
        bytes=size,
        category=Category.TEMPORARY,
        label=f"{run.optimizer} step",
        phase=Phase.OPTIMIZER_STEP,
        formula=formula,
        values=(("s", itemsize), (letter, count)),
        source="torch/optim",
        exactness=Exactness.MODELLED if run.optimizer in (Optimizer.ADAFACTOR, Optimizer.MUON) else Exactness.EXACT,
    )


def master_gradients(group: Trainable, run: TrainRun) -> Term | None:
    """
    The FP32 copy of half-precision gradients that updating an FP32 master needs.

    Formula:  4 · Φ_t
    Source:   arXiv:1710.03740 figure 1; the loop that gives each master `grad = half.grad.float()`.
    Ignores:  implementations that convert inside the kernel (apex multi-tensor) and need no copy.
    """
    if not run.precision.has_master or run.method != "full" or run.offload is Offload.OPTIMIZER:
        return None
    return Term(
        bytes=4 * group.total,
        category=Category.TEMPORARY,
        label="FP32 copy of the gradients",
        phase=Phase.OPTIMIZER_STEP,
        formula="4·Φ_t",
        values=(("Φ_t", group.total),),
        source="arXiv:1710.03740",
        exactness=Exactness.MODELLED,
        ignores="kernels that convert gradients on the fly",
    )
