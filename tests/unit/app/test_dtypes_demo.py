"""What the demonstration claims, held against the values it computes."""

from math import inf

import ml_dtypes
import numpy as np
import pytest

from vramcast.app.dtypes_demo import quantization_errors, round_to_bf16, roundings
from vramcast.domain.rounding import Rounding

BY_EXPRESSION = {one.expression: one for one in roundings()}


def found(words: str) -> Rounding:
    """The one example whose expression starts so."""
    (one,) = [example for expression, example in BY_EXPRESSION.items() if expression.startswith(words)]
    return one


@pytest.mark.parametrize(
    ("words", "fp16", "bf16"),
    [
        ("65504", 65504.0, 65536.0),
        ("65520", inf, 65536.0),
        ("70000", inf, 70144.0),
        ("2 × loss scale 65536", inf, 131072.0),
        ("gradient 1e-8", 0.0, float(ml_dtypes.bfloat16(1e-8))),
        ("1 + 2^-8", 1.00390625, 1.0),
        ("256 + 1", 257.0, 256.0),
        ("weight 1 - update 0.001", 0.9990234375, 1.0),
    ],
)
def test_values_are_those_of_the_formats(words: str, fp16: float, bf16: float) -> None:
    """FP16 overflows and underflows, BF16 rounds, each where the demonstration says so."""
    assert (found(words).fp16, found(words).bf16) == (fp16, bf16)


def test_fp16_overflows_exactly_from_65520() -> None:
    """The number before 65520 still rounds down to the largest; the tie goes to infinity."""
    with np.errstate(over="ignore"):
        assert np.float16(np.nextafter(np.float32(65520), np.float32(0))) == 65504
        assert np.isinf(np.float16(65520))


def test_loss_scaling_keeps_the_gradient_that_fp16_loses() -> None:
    """Scaled up before the cast and down after it, 1e-8 comes back within FP16's epsilon."""
    assert found("gradient 1e-8").fp16 == 0
    assert found("the same × 65536").fp16 == pytest.approx(1e-8, rel=2**-10)


def test_a_thousand_small_updates_never_move_a_bf16_weight() -> None:
    """The sum of updates is 1, yet the BF16 weight is still 1 while the FP16 weight is near 0."""
    many = found("the same, 1,000 times")
    assert (many.exact, many.bf16) == (0.0, 1.0)
    assert 0 < many.fp16 < 0.05


def test_nan_and_infinity_survive_rounding() -> None:
    """A NaN with any payload stays NaN, an infinity keeps its sign, and the largest FP32 overflows."""
    bits = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0xFF800000, 0x7F7FFFFF], dtype=np.uint32)
    rounded = round_to_bf16(bits.view(np.float32))
    assert np.isnan(rounded[:3]).all()
    assert rounded[3:].tolist() == [inf, -inf, inf]


def test_nf4_has_the_smallest_error_on_normal_weights() -> None:
    """Under equal scales NF4 beats the others, and every error is one a 4-bit format can have."""
    errors = quantization_errors()
    assert errors[0].format.startswith("NF4")
    assert [error.relative_rms for error in errors] == sorted(error.relative_rms for error in errors)
    assert all(0.05 < error.relative_rms < 0.15 for error in errors)
