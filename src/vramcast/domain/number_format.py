"""
A number format: how a value is coded, and what a tensor of them takes in memory.

Letters: s sign bits, e exponent bits, m mantissa bits, n values.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ldexp, log10


class FormatKind(StrEnum):
    """How a code becomes a value: by exponent and mantissa, as a whole number, or by a table of levels."""

    FLOAT = "float"
    INTEGER = "integer"
    CODEBOOK = "codebook"


class Specials(StrEnum):
    """
    Which codes are not numbers.

    `ieee`: the largest exponent means infinity and NaN. `nan`: only the code of all ones is lost, to NaN; there is no
    infinity. `none`: every code is a finite number.
    """

    IEEE = "ieee"
    NAN = "nan"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One scale of `bits` bits in number format `format` for every `block` values; `block` None: one a tensor."""

    block: int | None
    bits: int
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """
    The layout of one value and of the scales that go with it; every other figure is computed from these.

    Attributes:
        name: the catalog's word, such as `bf16`; label: as papers print it; aliases: what others call it.
        sign_bits, exponent_bits, mantissa_bits: the code, without an implicit leading one; a codebook has none of them.
        storage_bits: bits that one value takes in memory, scales left out; packed where it is not whole bytes.
        specials: which codes are not numbers; only a float has any.
        levels: the values of a codebook in rising order, relative to the scale.
        scales: what is stored beside the values. A value is its code times its scales.
        use: what the format is used for; note: what a reader may get wrong.
    """

    name: str
    label: str
    kind: FormatKind
    sign_bits: int = 0
    exponent_bits: int = 0
    mantissa_bits: int = 0
    storage_bits: int
    specials: Specials = Specials.NONE
    levels: tuple[float, ...] = ()
    scales: tuple[Scale, ...] = ()
    aliases: tuple[str, ...] = ()
    use: str
    note: str = ""
    source: str
    checked: str

    @property
    def significant_bits(self) -> int:
        """
        Bits that carry information: s + e + m, or those of a codebook's index.

        TF32 has 19 of them and still takes `storage_bits` = 32 in memory.
        """
        if self.kind is FormatKind.CODEBOOK:
            return self.storage_bits
        return self.sign_bits + self.exponent_bits + self.mantissa_bits

    @property
    def bits_per_value(self) -> float:
        """
        Bits in memory for one value of a large tensor, its share of the scales included.

        Formula: storage_bits + Σ bits of a scale / values under it. Ignores scales of which a tensor has only one.
        """
        return self.storage_bits + sum(scale.bits / scale.block for scale in self.scales if scale.block)

    @property
    def bytes_per_value(self) -> float:
        """`bits_per_value` / 8."""
        return self.bits_per_value / 8

    def bytes_for(self, numel: int) -> int:
        """
        Bytes of a tensor of `numel` values with its scales.

        Formula: ⌈n · storage_bits / 8⌉ + Σ_scales ⌈⌈n / block⌉ · bits / 8⌉, with one block where a tensor has one scale.
        Ignores: rows that are padded to whole blocks, scales padded to a kernel's tiles, bitsandbytes' lookup tables
        (16 and 256 FP32 values a tensor), and the allocator's rounding.
        """
        if numel == 0:
            return 0
        scales = sum(_ceil_div(_ceil_div(numel, scale.block or numel) * scale.bits, 8) for scale in self.scales)
        return _ceil_div(numel * self.storage_bits, 8) + scales

    @property
    def has_infinity(self) -> bool:
        """Whether a result that is too large becomes infinity; else it becomes NaN or the largest number."""
        return self.specials is Specials.IEEE

    @property
    def has_subnormals(self) -> bool:
        """Whether the smallest exponent drops the implicit one, so that numbers fade out evenly towards zero."""
        return self.kind is FormatKind.FLOAT and self.mantissa_bits > 0

    @property
    def bias(self) -> int:
        """What is taken from a float's exponent field: 2^(e-1) - 1."""
        return (1 << (self.exponent_bits - 1)) - 1

    def decode(self, code: int) -> float:
        """
        The value of a float's code, sign left out and specials not looked at.

        Formula: 2^(E - bias) · (1 + M / 2^m), or 2^(1 - bias) · M / 2^m where the exponent field E is zero and the
        format has subnormals; M is the mantissa field.
        """
        exponent, mantissa = divmod(code, 2**self.mantissa_bits)
        if exponent == 0 and self.has_subnormals:
            return ldexp(mantissa, 1 - self.bias - self.mantissa_bits)
        return ldexp(2**self.mantissa_bits + mantissa, exponent - self.bias - self.mantissa_bits)

    @property
    def largest(self) -> float:
        """The largest finite value, relative to the scale where there is one."""
        match self.kind:
            case FormatKind.FLOAT:
                return self.decode(self._largest_code)
            case FormatKind.INTEGER:
                return 2.0**self.mantissa_bits - 1
            case FormatKind.CODEBOOK:
                return self.levels[-1]

    @property
    def lowest(self) -> float:
        """The most negative value; an integer in two's complement has one more below zero than above."""
        match self.kind:
            case FormatKind.FLOAT:
                return -self.largest if self.sign_bits else self.smallest_normal or 0.0
            case FormatKind.INTEGER:
                return -(2.0**self.mantissa_bits)
            case FormatKind.CODEBOOK:
                return self.levels[0]

    @property
    def smallest_normal(self) -> float | None:
        """The smallest value with full precision, None if the format is no float."""
        return self.decode(2**self.mantissa_bits if self.has_subnormals else 0) if self._is_float else None

    @property
    def smallest_subnormal(self) -> float | None:
        """The smallest value above zero, None if the format has no subnormals."""
        return self.decode(1) if self.has_subnormals else None

    @property
    def epsilon(self) -> float | None:
        """The gap between 1 and the next value, 2^-m; None if the format is no float."""
        return 2.0**-self.mantissa_bits if self._is_float else None

    @property
    def decimal_digits(self) -> float | None:
        """Precision in decimal digits, (m + 1) · log10 2; None if the format is no float."""
        return (self.mantissa_bits + 1) * log10(2) if self._is_float else None

    @property
    def _is_float(self) -> bool:
        return self.kind is FormatKind.FLOAT

    @property
    def _largest_code(self) -> int:
        codes = 1 << (self.exponent_bits + self.mantissa_bits)
        match self.specials:
            case Specials.IEEE:
                return codes - (1 << self.mantissa_bits) - 1
            case Specials.NAN:
                return codes - 2
            case Specials.NONE:
                return codes - 1


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
