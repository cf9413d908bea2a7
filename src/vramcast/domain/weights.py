"""A parameter tensor as the rules see it: name, shape and kind."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod


class WeightKind(StrEnum):
    """What a parameter tensor is; this decides whether it is quantised, adapted, or kept as it is."""

    LINEAR = "linear"  # the matrix of an nn.Linear (or GPT-2's Conv1D): quantised, and a LoRA target
    SHARED = "shared"  # the same of which several blocks hold one copy: never quantised, adapters on it not modelled
    BIAS = "bias"
    NORM = "norm"
    EMBEDDING = "embedding"
    HEAD = "head"  # the output projection: never quantised by transformers
    ROUTER = "router"  # a mixture's gate: a bare parameter in transformers 5
    EXPERTS = "experts"  # fused 3-D expert tensors: no linear layers, so bitsandbytes passes them over
    CONV = "conv"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Weight:
    """
    `count` parameter tensors of one `shape` that differ only in where they stand.

    A linear has shape (out_features, in_features); fused experts have (E, out_features, in_features).
    `name` is the module's canonical name (`q_proj`, `gate_up_proj`, ...), whatever the framework calls it.
    """

    name: str
    shape: tuple[int, ...]
    kind: WeightKind
    count: int = 1

    @property
    def numel(self) -> int:
        """Elements of one of these tensors."""
        return prod(self.shape)

    @property
    def parameters(self) -> int:
        """Elements of all `count` tensors."""
        return self.numel * self.count


def linear(name: str, out_features: int, in_features: int, *, bias: bool = False, count: int = 1) -> tuple[Weight, ...]:
    """The weight of a linear layer and, where it has one, its bias."""
    weight = Weight(name, (out_features, in_features), WeightKind.LINEAR, count)
    if not bias:
        return (weight,)
    return (weight, Weight(f"{name}.bias", (out_features,), WeightKind.BIAS, count))
