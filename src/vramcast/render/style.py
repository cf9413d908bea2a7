"""What the place that shows a text can do, and in which language it speaks."""

from collections.abc import Callable
from dataclasses import dataclass

_CODE = "\x1b[{}m{}\x1b[0m"
_ASCII = str.maketrans("Φ·–…×≈─│┘└▸→≤ℓΣ⌈⌉⌊⌋−", "P*-.x=-|++>><lS[][]-")


def english(text: str) -> str:
    """The text as it is: the rules and the renderers write English."""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """
    Columns, whether colours may be used, whether only ASCII can be shown, and `say`, which turns English into the
    reader's language.
    """

    width: int = 80
    color: bool = False
    ascii: bool = False
    say: Callable[[str], str] = english

    def bold(self, text: str) -> str:
        """`text`, bold where allowed."""
        return self._coded("1", text)

    def dim(self, text: str) -> str:
        """`text`, faint where allowed."""
        return self._coded("2", text)

    def tint(self, text: str, color: int) -> str:
        """`text` in one of the terminal's 256 colours."""
        return self._coded(f"38;5;{color}", text)

    def finish(self, lines: list[str]) -> str:
        """The lines as one text, spelt in ASCII where nothing else can be shown: each letter by one, so columns hold."""
        text = "\n".join(line.rstrip() for line in lines)
        return text.translate(_ASCII).encode("ascii", "replace").decode() if self.ascii else text

    def _coded(self, code: str, text: str) -> str:
        return _CODE.format(code, text) if self.color and text else text
