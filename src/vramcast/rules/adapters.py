"""
Low-rank adapters.

Letters: r rank, d_in and d_out the sides of an adapted matrix.
"""

from functools import lru_cache

from vramcast.domain.errors import InputError
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.module_names import canonical_names
from vramcast.domain.run import Adapter, TrainRun
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.sizes import adapter_itemsize

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "q_a_proj", "q_b_proj", "kv_a_proj", "kv_b_proj")
MLP = ("gate_proj", "up_proj", "down_proj", "gate_up_proj")


@lru_cache(maxsize=256)
def adapted_weights(weights: tuple[Weight, ...], targets: tuple[str, ...]) -> tuple[Weight, ...]:
    """
    The linear weights that `targets` names: canonical names, frameworks' own names, or `attention`, `mlp`, `all-linear`.

    The output projection is never among them (PEFT's `all-linear` leaves it out).

    Raises:
        InputError: a target names no linear layer of the model.
    """
    linears = [w for w in weights if w.kind is WeightKind.LINEAR]
    present = {w.name for w in linears}
    chosen: set[str] = set()
    for target in targets:
        match target:
            case "all-linear":
                found = present
            case "attention":
                found = present.intersection(ATTENTION)
            case "mlp":
                found = present.intersection(MLP)
            case _:
                found = present.intersection((target, *canonical_names(target)))
        if not found:
            raise InputError(
                f"no linear layer is called `{target[:40]}` in this model",
                f"its linear layers: {', '.join(sorted(present)) or 'none'}; or: attention, mlp, all-linear",
            )
        chosen |= found
    return tuple(w for w in linears if w.name in chosen)


@lru_cache(maxsize=256)
def adapter_weights(weights: tuple[Weight, ...], adapter: Adapter) -> tuple[Weight, ...]:
    """
    The trainable tensors: A (r × d_in) and B (d_out × r) for each adapted matrix, and DoRA's magnitudes (d_out).

    Formula:  r · (d_in + d_out) (+ d_out) for each matrix: 2·d·r in place of d·d where it is square
    Source:   arXiv:2106.09685, arXiv:2402.09353; PEFT 0.21 tuners/lora.
    """
    made: list[Weight] = []
    for w in adapted_weights(weights, adapter.targets):
        d_out, d_in = w.shape
        made.append(Weight("lora_A", (adapter.rank, d_in), WeightKind.LINEAR, w.count))
        made.append(Weight("lora_B", (d_out, adapter.rank), WeightKind.LINEAR, w.count))
        if adapter.dora:
            made.append(Weight("lora_magnitude_vector", (d_out,), WeightKind.OTHER, w.count))
    return tuple(made)


def adapters(model: ModelSpec, run: TrainRun) -> Term:
    """
    Bytes of the adapters themselves.

    Formula:  itemsize · Σ_targets r · (d_in + d_out)
    Source:   as `adapter_weights`; itemsize 4 where PEFT's autocast_adapter_dtype upcasts them.
    Ignores:  tensors rounded up to 512 bytes by the allocator.
    """
    assert run.adapter is not None
    itemsize = adapter_itemsize(run)
    targets = adapted_weights(model.linears, run.adapter.targets)
    count = sum(w.parameters for w in adapter_weights(model.linears, run.adapter))
    parts = tuple(
        Part(
            f"{w.count} × {w.name} {w.shape[0]}×{w.shape[1]}",
            f"{itemsize}·{w.count}·r·(d_in + d_out)" + (" + d_out" if run.adapter.dora else ""),
            itemsize * w.count * (run.adapter.rank * sum(w.shape) + (w.shape[0] if run.adapter.dora else 0)),
        )
        for w in targets
    )
    return Term(
        bytes=itemsize * count,
        category=Category.PARAMETERS,
        label=f"adapters (rank {run.adapter.rank}, {'FP32' if itemsize == 4 else 'half precision'})",
        phase=Phase.RESIDENT,
        formula="s·Σ r·(d_in + d_out)",
        values=(("s", itemsize), ("r", run.adapter.rank), ("Σ r·(d_in + d_out)", count)),
        source="arXiv:2106.09685; PEFT 0.21",
        exactness=Exactness.EXACT,
        ignores="512-byte rounding of each tensor",
        parts=parts,
    )
