"""
Low-rank adapters.

Letters: r rank, d_in and d_out the sides of an adapted matrix, E experts.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

from vramcast.domain.errors import InputError
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.module_names import ATTENTION, MLP, canonical_names
from vramcast.domain.run import Adapter, TrainRun
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.peft_families import ROUTER, expert_ranks, former_names, refused, unquantized_linears
from vramcast.rules.sizes import adapter_itemsize


class Adapted(NamedTuple):
    """What gets adapters: linear layers, and fused experts and routers with the factor on their rank."""

    linears: tuple[Weight, ...]
    experts: tuple[tuple[Weight, int], ...]


def adapted(model: ModelSpec, targets: tuple[str, ...]) -> Adapted:
    """
    What `targets` names: canonical names, frameworks' own names, or `attention`, `mlp`, `all-linear`.

    The output projection is never among it (PEFT's `all-linear` leaves it out), nor is a matrix that several blocks share,
    nor what PEFT refuses. Fused experts are, in the families for which PEFT finds them (`peft_families`).

    Raises:
        InputError: a target names nothing that can be adapted.
    """
    return _adapted(model.weights, model.model_type, targets)


@lru_cache(maxsize=256)
def _adapted(weights: tuple[Weight, ...], model_type: str, targets: tuple[str, ...]) -> Adapted:
    plain = unquantized_linears(model_type)
    linears = [w for w in weights if w.kind is WeightKind.LINEAR or w.name in plain]
    experts = [w for w in weights if w.kind in (WeightKind.EXPERTS, WeightKind.ROUTER) and w.name not in plain]
    present = {w.name for w in linears} - refused(model_type)
    former = former_names(model_type) if experts else {}
    chosen: set[str] = set()
    moved: set[str] = set()
    for target in targets:
        names, old = _meaning(target, present, former, model_type)
        if not names | old or target.rpartition(".")[2] in refused(model_type):
            raise InputError(
                f"no linear layer that can be adapted is called `{target[:40]}` in this model",
                f"its linear layers: {', '.join(sorted(present)) or 'none'}; or: attention, mlp, all-linear",
            )
        chosen |= names
        moved |= old
    ranks = expert_ranks(model_type, moved)
    found = ((w, ranks.get(w.name.removeprefix("zero_experts."), 0)) for w in experts)
    return Adapted(
        tuple(w for w in linears if w.name in chosen - moved),
        tuple((w, factor) for w, factor in found if factor),
    )


def _meaning(target: str, present: set[str], former: dict[str, str], model_type: str) -> tuple[set[str], set[str]]:
    """The linear layers that a target stands for, and the former names of router and experts among its meanings."""
    match target:
        case "all-linear":
            return present, set(former)
        case "attention":
            return present.intersection(ATTENTION), set()
        case "mlp":
            return present.intersection(MLP), {old for old, tensor in former.items() if tensor != ROUTER}
        case _:
            names = present.intersection((target, *canonical_names(target, model_type)))
            return names, {old for old in former if f".{target}".endswith(f".{old}")}


@lru_cache(maxsize=256)
def _trained(found: Adapted, adapter: Adapter) -> tuple[Weight, ...]:
    made: list[Weight] = []
    for w in found.linears:
        d_out, d_in = w.shape
        made.append(Weight("lora_A", (adapter.rank, d_in), WeightKind.LINEAR, w.count))
        made.append(Weight("lora_B", (d_out, adapter.rank), WeightKind.LINEAR, w.count))
        if adapter.dora:
            made.append(Weight("lora_magnitude_vector", (d_out,), WeightKind.OTHER, w.count))
    for w, factor in found.experts:
        *batch, d_out, d_in = w.shape
        rank = factor * adapter.rank * (batch[0] if batch else 1)
        made.append(Weight("lora_A", (rank, d_in), WeightKind.LINEAR, w.count))
        made.append(Weight("lora_B", (d_out, rank), WeightKind.LINEAR, w.count))
    return tuple(made)


def adapter_weights(model: ModelSpec, adapter: Adapter) -> tuple[Weight, ...]:
    """
    The trainable tensors: A (r × d_in) and B (d_out × r) for each adapted matrix, and DoRA's magnitudes (d_out).

    Formula:  r · (d_in + d_out) (+ d_out) for each matrix: 2·d·r in place of d·d where it is square;
              E · r · (d_in + d_out) for fused experts, with 2·r for gate and up in one
    Source:   arXiv:2106.09685, arXiv:2402.09353; PEFT 0.21 tuners/lora/layer.py (Linear, ParamWrapper), dora.py.

    Raises:
        InputError: a target names nothing that can be adapted, or PEFT has no such adapter for fused experts.
    """
    found = adapted(model, adapter.targets)
    if found.experts and (adapter.dora or adapter.dropout > 0):
        raise InputError(
            f"PEFT has no {'DoRA' if adapter.dora else 'dropout'} for adapters on fused experts or routers",
            "--lora-targets attention leaves them out",
        )
    return _trained(found, adapter)


def adapters_of(weights: tuple[Weight, ...], found: Adapted, adapter: Adapter) -> int:
    """Trainable elements that adapters add to `weights`, the tensors of one block."""
    linears = {(w.name, w.shape) for w in found.linears}
    factors = {(w.name, w.shape): factor for w, factor in found.experts}
    own = Adapted(
        tuple(w for w in weights if (w.name, w.shape) in linears),
        tuple((w, factors[w.name, w.shape]) for w in weights if (w.name, w.shape) in factors),
    )
    return sum(w.parameters for w in _trained(own, adapter))


def adapters(model: ModelSpec, run: TrainRun) -> Term:
    """
    Bytes of the adapters themselves.

    Formula:  itemsize · Σ_targets r · (d_in + d_out)
    Source:   as `adapter_weights`; itemsize 4 where PEFT's autocast_adapter_dtype upcasts them.
    Ignores:  tensors rounded up to 512 bytes by the allocator; DoRA's magnitudes, which TRL keeps in FP32 in any case.

    Raises:
        InputError: as `adapter_weights`.
    """
    assert run.adapter is not None
    itemsize = adapter_itemsize(run)
    count = sum(w.parameters for w in adapter_weights(model, run.adapter))
    found = adapted(model, run.adapter.targets)
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
        parts=tuple(
            _part(w, factor, run.adapter, itemsize) for w, factor in (*((w, 1) for w in found.linears), *found.experts)
        ),
    )


def _part(w: Weight, factor: int, adapter: Adapter, itemsize: int) -> Part:
    """The adapters of one kind of matrix."""
    *batch, d_out, d_in = w.shape
    factors = [one for one in (*batch, factor) if one > 1]
    each = prod(factors) * adapter.rank * (d_out + d_in) + (d_out if adapter.dora else 0)
    return Part(
        f"{w.count} × {w.name} {'×'.join(map(str, w.shape))}",
        f"{itemsize}·{w.count}·({''.join(f'{one}·' for one in factors)}r·(d_in + d_out){' + d_out' if adapter.dora else ''})",
        itemsize * w.count * each,
    )
