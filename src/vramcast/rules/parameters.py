"""
The model's own weights, as the device holds them while training.

Letters: Φ parameters, s bytes an element.
"""

from functools import lru_cache

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.run import TrainRun
from vramcast.domain.weights import Weight

FP32 = 4
HALF = 2
INT8 = "int8"
MIXED = "arXiv:1710.03740, arXiv:1910.02054"
OWN_LINEARS = frozenset({"falcon"})  # a subclass of nn.Linear, which no quantiser of transformers 5.23 replaces


def parameters(model: ModelSpec, run: TrainRun) -> tuple[Term, ...]:
    """
    Weights by precision and method: s·Φ; with an FP32 master 2·Φ + 4·Φ; quantised by `quantized_parameters`.

    Source:   arXiv:1710.03740 (FP32 master), arXiv:1910.02054 (16Φ), transformers 5.23.
    Ignores:  tensors rounded up to 512 bytes by the allocator.
    """
    if run.quantization is not None:
        rest = FP32 if run.quantization.upcast else HALF
        chosen = quantizable(model)
        return (quantized_parameters(model, run.quantization.format, rest, "frozen weights", chosen),)
    if run.precision.has_master and run.method == "full":
        master = _dense(model, FP32, "FP32 master weights", MIXED)
        working = _dense(model, HALF, f"weights ({run.precision.compute.upper()} working copy)", MIXED)
        return (working,) if run.offload == "optimizer" else (working, master)
    itemsize = run.precision.weight_itemsize
    label = "weights (FP32)" if itemsize == FP32 else f"weights ({run.precision.compute.upper()})"
    return (_dense(model, itemsize, label if run.method == "full" else f"frozen {label}", "transformers 5.23"),)


def _dense(model: ModelSpec, itemsize: int, label: str, source: str) -> Term:
    return Term(
        bytes=itemsize * model.parameters,
        category=Category.PARAMETERS,
        label=label,
        phase=Phase.RESIDENT,
        formula="s·Φ",
        values=(("s", itemsize), ("Φ", model.parameters)),
        source=source,
        ignores="512-byte rounding of each tensor",
    )


def quantizable(model: ModelSpec) -> tuple[Weight, ...]:
    """
    The weights that transformers turns into bitsandbytes' as it loads them: linear layers, but for families with their own.

    Source:   transformers 5.23 integrations/bitsandbytes.py (replace_with_bnb_linear: `type(module) is nn.Linear`).
    """
    return () if model.model_type in OWN_LINEARS else model.linears


def quantized_parameters(
    model: ModelSpec, number_format: NumberFormat, itemsize: int, label: str, quantized: tuple[Weight, ...]
) -> Term:
    """
    Weights of which the tensors `quantized` are stored in fewer bits and the rest is kept in `itemsize` bytes.

    Formula:  Σ_quantised bytes_for(numel) + s · (Φ - Φ_q) (+ 4 · rows in INT8: LLM.int8() has an FP32 scale a row)
    Source:   transformers 5.23 quantizers (the output projection, embeddings, norms, biases, routers and fused 3-D experts
              stay as they are); arXiv:2305.14314, arXiv:2208.07339; bitsandbytes 0.50 functional.py, nn/modules.py.
    Ignores:  the 16- and 256-entry code tables of each tensor (about 1.1 KiB), 512-byte rounding.
    """
    if model.bare_parameters is not None:
        size, linear_count = number_format.bytes_for(model.bare_parameters), model.bare_parameters
    else:
        size, linear_count = _quantized(quantized, number_format)
    rest = model.parameters - linear_count
    rows = _rows(quantized) if number_format.name == INT8 else 0
    values = (("q", number_format.bytes_per_value), ("Φ_q", linear_count), ("s", itemsize), ("Φ_rest", rest))
    return Term(
        bytes=size + FP32 * rows + itemsize * rest,
        category=Category.PARAMETERS,
        label=f"{label} ({number_format.label}, rest {'FP32' if itemsize == FP32 else 'half precision'})",
        phase=Phase.RESIDENT,
        formula="q·Φ_q + 4·rows + s·Φ_rest" if rows else "q·Φ_q + s·Φ_rest",
        values=(*values, ("rows", rows)) if rows else values,
        source="arXiv:2305.14314; transformers 5.23 quantizers; bitsandbytes 0.50",
        ignores="code tables and 512-byte rounding of each tensor",
        parts=(
            Part(f"quantised weights ({number_format.label})", "q·Φ_q", size),
            *((Part("a scale for each row", "4·rows", FP32 * rows),) if rows else ()),
            Part("what is not quantised", "s·Φ_rest", itemsize * rest),
        ),
    )


@lru_cache(maxsize=256)
def _quantized(weights: tuple[Weight, ...], number_format: NumberFormat) -> tuple[int, int]:
    """Bytes and elements of `weights` in `number_format`."""
    return sum(number_format.bytes_for(w.numel) * w.count for w in weights), sum(w.parameters for w in weights)


def _rows(weights: tuple[Weight, ...]) -> int:
    return sum(w.count * w.numel // w.shape[-1] for w in weights)


def cached_casts(count: int, phase: Phase) -> Term:
    """
    Half-precision copies of FP32 weights that autocast keeps while a graph needs them.

    Formula:  2 · Φ_cast, the weights of matrix products in the blocks whose backward is still to come
    Source:   torch autocast_mode.cpp (weight cache), matmul's saved tensors.
    """
    return Term(
        bytes=HALF * count,
        category=Category.PARAMETERS,
        label="autocast's half-precision copies",
        phase=phase,
        formula="2·Φ_cast",
        values=(("Φ_cast", count),),
        source="torch autocast_mode.cpp",
        exactness=Exactness.EXACT,
    )
