"""The errors a user can meet. Each says what is wrong, why, and what to try."""


class VramcastError(Exception):
    """
    Base of every error that vramcast raises on purpose.

    Attributes:
        what: one line, what is wrong.
        hint: one line, what to try; empty when there is nothing to say.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class InputError(VramcastError):
    """The input is malformed: a missing key, a wrong type, an impossible value, an unreadable file."""


class UnsupportedError(VramcastError):
    """The input is well formed, but no rule covers it. Names what is missing; never a wrong number instead."""
