"""What a user may say about a run, each with its check."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from vramcast.domain.errors import InputError

LARGEST_COUNT = 2**31
Word = TypeVar("Word", bound=StrEnum)

ADAPTING = ("lora_rank", "lora_targets", "lora_dropout", "dora", "modules_to_save")
TRAINING = (
    "precision",
    "optimizer",
    *ADAPTING,
    "base_format",
    "seq_len",
    "micro_batch",
    "accum_steps",
    "recompute",
    "reentrant",
    "loss",
    "kernels",
    "offload",
    "evaluate",
    "save",
)
SERVING = ("max_model_len", "max_num_seqs", "prefill_tokens", "weight_format", "kv_format", "cache")
NAMES = ("method", "attention", "memory", *TRAINING, *SERVING)
YES, NO = (True, "true", "yes", "1"), (False, "false", "no", "0")


class Options:
    """
    Read-only view of the options a user gave; None counts as not given.

    Raises:
        InputError: an option has an unknown name; and, on reading, a value that is not of its kind.
    """

    def __init__(self, given: Mapping[str, object]) -> None:
        unknown = sorted(set(given) - set(NAMES))
        if unknown:
            raise InputError(f"no option is called {unknown[0][:40]!r}", f"options: {', '.join(NAMES)}")
        self._given = {name: value for name, value in given.items() if value is not None}

    def gives(self, name: str) -> bool:
        """Whether the user set this option."""
        return name in self._given

    def given(self) -> tuple[str, ...]:
        """Names of the options that the user set."""
        return tuple(self._given)

    def text(self, name: str) -> str | None:
        """The option as text, None if not given."""
        value = self._given.get(name)
        return None if value is None else str(value)

    def names(self, name: str) -> tuple[str, ...]:
        """The parts of a list with commas, none if not given."""
        return tuple(part.strip() for part in (self.text(name) or "").split(",") if part.strip())

    def count(self, name: str, default: int) -> int:
        """A whole number from 1 to 2³¹."""
        value = self._given.get(name, default)
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if isinstance(value, bool) or not 1 <= number <= LARGEST_COUNT:
            raise InputError(f"{flag(name)} must be a whole number from 1 to 2^31, not {str(value)[:40]!r}")
        return number

    def fraction(self, name: str, default: float) -> float:
        """A number from 0 to below 1."""
        value = self._given.get(name, default)
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if not 0 <= number < 1:
            raise InputError(f"{flag(name)} must be a number from 0 to below 1, not {str(value)[:40]!r}")
        return number

    def switch(self, name: str) -> bool:
        """True if the option was given as true, False if it was not given."""
        value = self._given.get(name, False)
        word = value.lower() if isinstance(value, str) else value
        if word not in (*YES, *NO):
            raise InputError(f"{flag(name)} must be true or false, not {str(value)[:40]!r}")
        return word in YES

    def word(self, name: str, kind: type[Word]) -> Word | None:
        """One of the words of `kind`, None if not given."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return kind(value.lower())
        except ValueError:
            words = ", ".join(kind)
            raise InputError(f"{flag(name)} cannot be {value[:40]!r}", f"one of: {words}") from None


def flag(name: str) -> str:
    """The command-line spelling of an option."""
    return f"--{name.replace('_', '-')}"
