"""
How each category looks, everywhere: a colour, and a pattern that tells it apart without colour.

Source of the colours: Okabe and Ito, "Color Universal Design" (2008), told apart with every common colour blindness; greys
for what the process holds besides tensors.
"""

from dataclasses import dataclass

from vramcast.domain.forecast import Category


@dataclass(frozen=True, slots=True)
class Look:
    """The glyph of a bar's cell, its ASCII stand-in, the terminal's colour (of 256), the same as hex."""

    glyph: str
    ascii: str
    color: int
    hex: str


LOOKS = {
    Category.PARAMETERS: Look("█", "#", 32, "#0072b2"),
    Category.GRADIENTS: Look("▌", "%", 214, "#e69f00"),
    Category.OPTIMIZER_STATES: Look("▓", "@", 36, "#009e73"),
    Category.ACTIVATIONS: Look("▒", "+", 166, "#d55e00"),
    Category.LOGITS: Look("▀", "*", 175, "#cc79a7"),
    Category.KV_CACHE: Look("▄", "o", 74, "#56b4e9"),
    Category.TEMPORARY: Look("░", ":", 178, "#c9b000"),
    Category.COMMUNICATION: Look("╳", "x", 137, "#8c6d46"),
    Category.WORKSPACE: Look("╱", "/", 103, "#7a7aa8"),
    Category.RUNTIME: Look("═", "=", 245, "#8a8a8a"),
    Category.FRAGMENTATION: Look("┄", "~", 248, "#a8a8a8"),
    Category.UNEXPLAINED: Look("?", "?", 160, "#b00020"),
}
BAND = Look("·", ".", 245, "#bbbbbb")
