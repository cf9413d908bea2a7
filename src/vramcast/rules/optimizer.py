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
FP32 = 4
BNB = "bitsandbytes 0.50 optim/optimizer.py, functional.py"
HIDDEN = (WeightKind.LINEAR, WeightKind.SHARED, WeightKind.ROUTER)
PAGED = (Optimizer.PAGED_ADAMW, Optimizer.PAGED_ADAMW_8BIT)
EIGHT_BIT = (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT, Optimizer.LION_8BIT)


class Trainable(NamedTuple):
    """
    What an optimizer needs to know of the tensors it updates, in elements.

    Attributes:
        total, largest: of all tensors, of the largest one.
        eight, blocks: in tensors that get 8-bit states, and their blocks of 256, the last of a tensor perhaps not full.
        paged, eight_paged: in tensors whose states are paged, and in those among them that get 8-bit states.
        factored, unfactored: of Adafactor's row and column moments, and in vectors, which it does not factor.
        matrices: in hidden matrices, which Muon orthogonalises.
        largest_matrix, short_side: of the matrix that Muon needs most for, and its shorter side.
    """

    total: int
    largest: int
    eight: int
    blocks: int
    paged: int
    eight_paged: int
    factored: int
    unfactored: int
    matrices: int
    largest_matrix: int
    short_side: int


@lru_cache(maxsize=256)
def trainable(weights: tuple[Weight, ...], *, whole_embeddings: bool = False) -> Trainable:
    """Sums over the tensors that are trained; `whole_embeddings`: 8-bit optimizers keep FP32 states for embeddings."""
    exempt = WeightKind.EMBEDDING if whole_embeddings else None
    eight = [w for w in weights if w.numel >= SMALLEST_8BIT and w.kind is not exempt]
    matrices = [w for w in weights if w.kind in HIDDEN and len(w.shape) == 2]
    widest = max(matrices, key=lambda w: 2 * w.numel + min(w.shape) ** 2, default=None)
    return Trainable(
        total=sum(w.parameters for w in weights),
        largest=max((w.numel for w in weights), default=0),
        eight=sum(w.parameters for w in eight),
        blocks=sum(w.count * -(-w.numel // BLOCK_8BIT) for w in eight),
        paged=sum(w.parameters for w in weights if w.numel >= SMALLEST_PAGED),
        eight_paged=sum(w.parameters for w in eight if w.numel >= SMALLEST_PAGED),
        factored=sum(w.count * _factors(w.shape) for w in weights if len(w.shape) > 1),
        unfactored=sum(w.parameters for w in weights if len(w.shape) == 1),
        matrices=sum(w.parameters for w in matrices),
        largest_matrix=widest.numel if widest else 0,
        short_side=min(widest.shape) if widest else 0,
    )


def bare_trainable(count: int) -> Trainable:
    """What is known of `count` parameters without their shapes: taken as one hidden matrix, which no step copies."""
    return Trainable(count, 0, count, -(-count // BLOCK_8BIT), count, count, 0, 0, count, 0, 0)


def _factors(shape: tuple[int, ...]) -> int:
    *batch, rows, columns = shape
    return prod(batch) * (rows + columns)


def state_itemsize(run: TrainRun, parameter_itemsize: int) -> int:
    """Bytes of one state element in torch's own optimizers: as the parameter they update, FP32 for a master."""
    return 4 if run.precision.has_master and run.method == "full" else parameter_itemsize


class States(NamedTuple):
    """Bytes with the formula, the values of its letters, and the source."""

    bytes: int
    formula: str
    values: tuple[tuple[str, float], ...]
    source: str


def optimizer_states(group: Trainable, run: TrainRun, itemsize: int) -> Term:
    """
    States kept from step to step; `itemsize` is that of one element in torch's own optimizers.

    Formula:  AdamW 2·s·Φ_t; SGD 0, with momentum s·Φ_t; Muon s·Φ_matrices + 2·s·Φ_others
              Adafactor 4·(Σ (rows + columns) + Φ_1d), FP32 whatever the parameters are
              bitsandbytes, with n = 2 states (AdamW) or 1 (Lion): 32-bit 4·n·Φ_t, 8-bit n·(Φ_8bit + 4·blocks + 4·Φ_rest);
              paged: without the values of tensors of at least 100,000 elements (`paged_bytes`)
    Source:   torch/optim/{adamw,sgd,_muon}.py, transformers 5.23 optimization.py (Adafactor), bitsandbytes 0.50 optim.
    Ignores:  the step counters (CPU scalars, or 512 B a tensor when fused), shared quantisation maps.
    """
    states = _torch_states(group, run.optimizer, itemsize) or _bitsandbytes_states(group, run.optimizer)
    label = f"{run.optimizer} states"
    if run.offload is Offload.OPTIMIZER:
        states, label = States(0, "0", (), states.source), f"{label} (on the host)"
    return Term(
        bytes=states.bytes,
        category=Category.OPTIMIZER_STATES,
        label=label,
        phase=Phase.RESIDENT,
        formula=states.formula,
        values=states.values,
        source=states.source,
        ignores="step counters, shared quantisation maps",
    )


def _torch_states(group: Trainable, optimizer: Optimizer, s: int) -> States | None:
    total = group.total
    values = (("s", s), ("Φ_t", total))
    match optimizer:
        case Optimizer.ADAMW_FOREACH | Optimizer.ADAMW_FUSED | Optimizer.ADAMW_LOOP:
            return States(2 * s * total, "2·s·Φ_t", values, "torch/optim/adamw.py")
        case Optimizer.SGD:
            return States(0, "0", (), "torch/optim/sgd.py")
        case Optimizer.SGD_MOMENTUM:
            return States(s * total, "s·Φ_t", values, "torch/optim/sgd.py")
        case Optimizer.ADAFACTOR:
            factors = (("Σ(rows+columns)", group.factored), ("Φ_1d", group.unfactored))
            size = FP32 * (group.factored + group.unfactored)
            source = "arXiv:1804.04235; transformers 5.23 optimization.py"
            return States(size, "4·(Σ(rows+columns) + Φ_1d)", factors, source)
        case Optimizer.MUON:
            others = total - group.matrices
            split = (("s", s), ("Φ_matrices", group.matrices), ("Φ_others", others))
            source = "torch/optim/_muon.py; AdamW for what is no hidden matrix"
            return States(s * (group.matrices + 2 * others), "s·(Φ_matrices + 2·Φ_others)", split, source)
        case _:
            return None


def _bitsandbytes_states(group: Trainable, optimizer: Optimizer) -> States:
    count = 1 if optimizer in (Optimizer.LION, Optimizer.LION_8BIT) else 2
    paged, eight_paged = (group.paged, group.eight_paged) if optimizer in PAGED else (0, 0)
    source = f"arXiv:2302.06675; {BNB}" if count == 1 else BNB
    if optimizer not in EIGHT_BIT:
        held = group.total - paged
        return States(FP32 * count * held, f"{count}·4·Φ_32bit", (("Φ_32bit", held),), source)
    eight = group.eight - eight_paged
    rest = group.total - paged - eight
    values = (("Φ_8bit", eight), ("blocks", group.blocks), ("Φ_32bit", rest))
    size = count * (eight + FP32 * group.blocks + FP32 * rest)
    return States(size, f"{count}·(Φ_8bit + 4·blocks + 4·Φ_32bit)", values, source)


def paged_bytes(group: Trainable, optimizer: Optimizer) -> int:
    """
    Bytes of paged states: managed memory that torch does not count and the driver may move to the host.

    Formula:  8 · Φ_paged, or 2 · Φ_8bit + 8 · Φ_32bit over tensors of at least 100,000 elements; scales are never paged
    Source:   bitsandbytes 0.50 optim/optimizer.py (get_state_buffer), functional.py (cudaMallocManaged).
    """
    match optimizer:
        case Optimizer.PAGED_ADAMW:
            return 2 * FP32 * group.paged
        case Optimizer.PAGED_ADAMW_8BIT:
            return 2 * (group.eight_paged + FP32 * (group.paged - group.eight_paged))
        case _:
            return 0


def step_temporaries(group: Trainable, run: TrainRun, itemsize: int) -> Term | None:
    """
    What the step itself allocates and frees.

    Formula:  foreach AdamW s·Φ_t (square roots of all second moments at once); for-loop 2·s·largest; fused 0;
              Adafactor 2·4·largest (squares, their root), twice that with FP32 copies of half gradients and weights;
              Muon max((s + 4)·d_out·d_in + 4·short², s·Φ_others): Newton-Schulz in BF16; AdamW over the others
    Source:   torch/optim/adam.py (_multi_tensor_adam, _single_tensor_adam), _muon.py; transformers 5.23 optimization.py.
    Ignores:  gradient clipping's scalars; what the step of the tensor before has left when the largest one's turn comes.
    """
    if run.offload is Offload.OPTIMIZER:
        return None
    s, largest = itemsize, group.largest
    values: tuple[tuple[str, float], ...]
    match run.optimizer:
        case Optimizer.ADAMW_FOREACH:
            size, formula, values = s * group.total, "s·Φ_t", (("s", s), ("Φ_t", group.total))
        case Optimizer.ADAMW_LOOP:
            size, formula, values = 2 * s * largest, "2·s·largest", (("s", s), ("largest", largest))
        case Optimizer.ADAFACTOR:
            copies = 2 if s == FP32 else 4
            size, formula, values = copies * FP32 * largest, f"{copies}·4·largest", (("largest", largest),)
        case Optimizer.MUON:
            size, formula, values = _muon_step(group, s)
        case _:
            return None
    return Term(
        bytes=size,
        category=Category.TEMPORARY,
        label=f"{run.optimizer} step",
        phase=Phase.OPTIMIZER_STEP,
        formula=formula,
        values=values,
        source="torch/optim; transformers 5.23 optimization.py",
        exactness=Exactness.EXACT if run.optimizer is Optimizer.ADAMW_FOREACH else Exactness.MODELLED,
    )


def _muon_step(group: Trainable, s: int) -> tuple[int, str, tuple[tuple[str, float], ...]]:
    matrix, short = group.largest_matrix, group.short_side
    others = group.total - group.matrices
    orthogonal = (s + 4) * matrix + 4 * short**2
    if orthogonal >= s * others:
        return orthogonal, "(s + 4)·d_out·d_in + 4·short²", (("s", s), ("d_out·d_in", matrix), ("short", short))
    return s * others, "s·Φ_others", (("s", s), ("Φ_others", others))


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
        bytes=FP32 * group.total,
        category=Category.TEMPORARY,
        label="FP32 copy of the gradients",
        phase=Phase.OPTIMIZER_STEP,
        formula="4·Φ_t",
        values=(("Φ_t", group.total),),
        source="arXiv:1710.03740",
        exactness=Exactness.MODELLED,
        ignores="kernels that convert gradients on the fly",
    )
