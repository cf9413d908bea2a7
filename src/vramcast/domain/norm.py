"""Normalisations."""

from dataclasses import dataclass
from enum import StrEnum

from vramcast.domain.family_code import NormCode
from vramcast.domain.weights import Weight, WeightKind


class NormKind(StrEnum):
    """RMS norm (scale only) or layer norm (scale, and a bias where the model has one)."""

    RMS = "rms"
    LAYER = "layer"


@dataclass(frozen=True, slots=True)
class Norm:
    """
    A normalisation over `width` features; `affine=False` has no parameters (OLMo 1).

    `after` says that a block's norm reads what the mixer or the feed-forward part wrote, not what they are to read.
    """

    kind: NormKind
    width: int
    bias: bool = False
    affine: bool = True
    code: NormCode = NormCode.PLAIN
    after: bool = False

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Scale and bias, each of `width` elements."""
        if not self.affine:
            return ()
        scale = Weight("norm", (self.width,), WeightKind.NORM)
        return (scale, Weight("norm.bias", (self.width,), WeightKind.NORM)) if self.bias else (scale,)
