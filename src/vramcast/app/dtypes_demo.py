"""What number formats do to real values, computed while you watch."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from vramcast.catalog.number_formats import find_format
from vramcast.domain.number_format import FormatKind, NumberFormat
from vramcast.domain.rounding import QuantizationError, Rounding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 64
_WEIGHTS = 2**16
_FOUR_BIT = ("nf4", "fp4-e2m1", "int4", "fp4")
_LOSS_SCALE = 65536.0  # where torch.amp.GradScaler starts

_HIGH = "Too large for FP16"
_LOW = "Too small for FP16"
_GAPS = "Between two numbers of BF16"


def roundings() -> tuple[Rounding, ...]:
    """
    Where FP16 overflows and underflows, and where BF16 rounds, computed now.

    FP16 is numpy's; BF16 is FP32 with its lower 16 bits rounded away (`round_to_bf16`).
    """
    return (
        _value(_HIGH, "65504", 65504.0, "the largest in FP16"),
        _value(_HIGH, "65520", 65520.0, "half a step further"),
        _value(_HIGH, "70000", 70000.0, "BF16 steps by 512 here"),
        _value(_HIGH, "2 × loss scale 65536", 2 * _LOSS_SCALE, "step skipped, scale halved"),
        _value(_LOW, "gradient 1e-8", 1e-8, "lost without loss scaling"),
        _scaled_gradient(1e-8),
        _value(_GAPS, "1 + 2^-8", 1 + 2**-8, "half of BF16's epsilon"),
        _value(_GAPS, "256 + 1", 257.0, "BF16 steps by 2 here"),
        _value(_GAPS, "weight 1 - update 0.001", 1 - 0.001, "the update is lost in BF16"),
        _many_updates(1.0, 0.001, 1000),
    )


def quantization_errors() -> tuple[QuantizationError, ...]:
    """
    The error of 4-bit formats on normal weights, each block of 64 divided by its largest magnitude, smallest first.

    Every format gets the same FP32 scale a block, so only their levels differ. INT4 uses -7 to 7.
    """
    import numpy as np

    weights = np.random.default_rng(0).standard_normal((_WEIGHTS // _BLOCK, _BLOCK))
    errors = [
        QuantizationError(
            format=number_format.label,
            block=_BLOCK,
            values=_WEIGHTS,
            relative_rms=float(_rms(_through(weights, _levels(number_format)) - weights) / _rms(weights)),
        )
        for number_format in map(find_format, _FOUR_BIT)
    ]
    return tuple(sorted(errors, key=lambda error: error.relative_rms))


def round_to_bf16(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """
    FP32 values rounded to the nearest BF16, ties to even, still as FP32.

    BF16 is the upper half of FP32. Adding 0x7FFF and the lowest bit that stays carries into the upper half exactly
    when the lower half is past the middle, or on it with an odd upper half. NaN stays NaN.
    """
    import numpy as np

    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    quiet = bits | np.uint32(0x00400000)
    kept = np.where(np.isnan(values), quiet, rounded) & np.uint32(0xFFFF0000)
    return kept.view(np.float32)


def _fp16(value: float) -> float:
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.float16(np.float32(value)))


def _bf16(value: float) -> float:
    import numpy as np

    return float(round_to_bf16(np.array([value], dtype=np.float32))[0])


def _value(topic: str, expression: str, value: float, note: str) -> Rounding:
    return Rounding(topic=topic, expression=expression, exact=value, fp16=_fp16(value), bf16=_bf16(value), note=note)


def _scaled_gradient(gradient: float) -> Rounding:
    def scaled(cast: Callable[[float], float]) -> float:
        return cast(gradient * _LOSS_SCALE) / _LOSS_SCALE

    return Rounding(
        topic=_LOW,
        expression=f"the same × {_LOSS_SCALE:.0f}, ÷ in FP32",
        exact=gradient,
        fp16=scaled(_fp16),
        bf16=scaled(_bf16),
        note="loss scaling keeps it",
    )


def _many_updates(weight: float, update: float, times: int) -> Rounding:
    def updated(cast: Callable[[float], float]) -> float:
        current = weight
        for _ in range(times):
            current = cast(current - update)
        return current

    return Rounding(
        topic=_GAPS,
        expression=f"the same, {times:,} times",
        exact=weight - update * times,
        fp16=updated(_fp16),
        bf16=updated(_bf16),
        note="exact: 0; use FP32 masters",
    )


def _levels(number_format: NumberFormat) -> list[float]:
    """Every value of a 4-bit format that has no special codes, in rising order, the largest at 1."""
    largest = number_format.largest
    match number_format.kind:
        case FormatKind.CODEBOOK:
            return list(number_format.levels)
        case FormatKind.INTEGER:
            return [step / largest for step in range(-int(largest), int(largest) + 1)]
        case FormatKind.FLOAT:
            codes = range(2 ** (number_format.exponent_bits + number_format.mantissa_bits))
            positive = [number_format.decode(code) / largest for code in codes]
            return [*(-value for value in reversed(positive[1:])), *positive]


def _through(weights: "NDArray[np.float64]", levels: list[float]) -> "NDArray[np.float64]":
    """`weights` with each row scaled to its largest magnitude, moved to the nearest level, and scaled back."""
    import numpy as np

    table = np.array(levels)
    scale = np.abs(weights).max(axis=1, keepdims=True)
    nearest = np.searchsorted((table[1:] + table[:-1]) / 2, weights / scale)
    back: NDArray[np.float64] = table[nearest] * scale
    return back


def _rms(values: "NDArray[np.float64]") -> float:
    import numpy as np

    return float(np.sqrt(np.mean(values**2)))
