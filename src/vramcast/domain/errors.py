"""The errors a user can meet. Each says what is wrong, why, and what to try."""


class VramcastError(Exception):
    """
    Base of every error that vramcast raises on purpose.

    Attributes:
        what: one printable line, what is wrong.
        hint: one printable line, what to try; empty when there is nothing to say.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = one_line(what)
        self.hint = one_line(hint)
        super().__init__(self.what)


class InputError(VramcastError):
    """The input is malformed: a missing key, a wrong type, an impossible value, an unreadable file."""


class UnsupportedError(VramcastError):
    """The input is well formed, but no rule covers it. Names what is missing; never a wrong number instead."""


def one_line(text: str) -> str:
    """`text` with line breaks, control characters and lone surrogates spelled out, so that any terminal can print it."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
