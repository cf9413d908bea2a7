"""What becomes of real values when a number format takes them in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """
    One value, or one short computation, and what FP16 and BF16 make of it.

    `topic` groups examples under one heading, `expression` is how a reader would write it, `exact` its true result.
    """

    topic: str
    expression: str
    exact: float
    fp16: float
    bf16: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationError:
    """How far `values` normal weights are off, as a share of their own root mean square, after a trip through `format`."""

    format: str
    block: int
    values: int
    relative_rms: float
