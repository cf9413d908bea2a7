"""Errors that any terminal can print."""

from vramcast.domain.errors import InputError, one_line


def test_error_is_one_printable_line() -> None:
    """Line breaks, escape sequences and lone surrogates from a stranger's file reach no terminal."""
    error = InputError("a\nb\x1b[2J\ud800 é", "c\td")
    assert (error.what, error.hint) == (r"a\nb\x1b[2J\ud800 é", r"c\td")
    assert str(error) == error.what
    error.what.encode()


def test_plain_text_is_left_alone() -> None:
    """Letters of any language, quotes and backslashes are not spelled out."""
    text = "模型 'x\\y' – Φ"
    assert one_line(text) == text
