"""A `config.json` with accessors that check what they read: the only way a reader touches foreign data."""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from vramcast.domain.errors import InputError
from vramcast.sources.shown import shown

LARGEST = 2**40  # no size in a language model's config comes near this; above it lies nonsense
_LARGEST_NUMBER = 1e300  # below this, a whole number turns into a float without overflow
MOST_LAYERS = 10_000  # readers spell layers out one by one, so an absurd depth must not reach them
_DEPTHS = frozenset({"num_hidden_layers", "num_layers", "n_layer", "n_layers", "sliding_window_pattern"})

Default = TypeVar("Default")
_REQUIRED: Any = object()


class Config:
    """
    Read-only view of one configuration.

    Every accessor takes the names a value may go by, in order of preference, and either returns a checked value or
    raises InputError naming the key. A key that is present but null counts as absent.
    """

    def __init__(self, data: Mapping[str, Any], name: str) -> None:
        self._data = data
        self.name = name

    @property
    def model_type(self) -> str:
        """The architecture's name in transformers, e.g. `llama`."""
        return self.text("model_type")

    def has(self, key: str) -> bool:
        """Whether the key is there at all, even as null: for keys where null and absent mean different things."""
        return key in self._data

    def renamed(self, **names: str) -> "Config":
        """The same configuration, where each canonical name reads what stands under this family's own name for it."""
        own = {canonical: self._data[key] for canonical, key in names.items() if self._data.get(key) is not None}
        return Config({**self._data, **own}, self.name)

    def keys(self) -> frozenset[str]:
        """The keys that are there, even as null."""
        return frozenset(self._data)

    def raw(self, *keys: str) -> Any:
        """The first value present, unchecked; None if there is none."""
        for key in keys:
            value = self._data.get(key)
            if value is not None:
                return value
        return None

    @overload
    def size(self, *keys: str) -> int: ...
    @overload
    def size(self, *keys: str, default: Default) -> int | Default: ...
    def size(self, *keys: str, default: Any = _REQUIRED) -> Any:
        """A whole number from 1 to 2⁴⁰. Raises InputError if absent without a default, or anything else."""
        return self._whole(keys, default, 1)

    @overload
    def count(self, *keys: str) -> int: ...
    @overload
    def count(self, *keys: str, default: Default) -> int | Default: ...
    def count(self, *keys: str, default: Any = _REQUIRED) -> Any:
        """A whole number from 0 to 2⁴⁰. Raises InputError if absent without a default, or anything else."""
        return self._whole(keys, default, 0)

    def number(self, *keys: str, default: float = 0.0) -> float:
        """A finite number. Raises InputError if present and anything else."""
        value = self.raw(*keys)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
            raise self.wrong(keys, "a finite number", value)
        return float(value)

    def probability(self, *keys: str, default: float = 0.0) -> float:
        """A number from 0 to 1. Raises InputError if present and anything else."""
        value = self.number(*keys, default=default)
        if not 0 <= value <= 1:
            raise self.wrong(keys, "a probability", value)
        return value

    def flag(self, *keys: str, default: bool = False) -> bool:
        """True or false. Raises InputError if present and anything else."""
        value = self.raw(*keys)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(keys, "true or false", value)
        return value

    def text(self, *keys: str, default: str | None = None) -> str:
        """A string. Raises InputError if absent without a default, or anything else."""
        value = self.raw(*keys)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(keys, "a string", value)
        return value

    def words(self, *keys: str) -> tuple[str, ...]:
        """A list of strings, empty if absent. Raises InputError if present and anything else."""
        value = self.raw(*keys)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(keys, "a list of strings", value)
        return tuple(value)

    def sizes(self, *keys: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A list of whole numbers from 0 to 2⁴⁰, `default` if absent. Raises InputError if present and anything else."""
        value = self.raw(*keys)
        if value is None:
            return default
        if not isinstance(value, list) or not all(_is_whole(item, 0) for item in value):
            raise self.wrong(keys, "a list of whole numbers", value)
        return tuple(value)

    def part(self, key: str) -> "Config | None":
        """A nested configuration such as `text_config`, None if absent. Raises InputError if it is not a table."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong((key,), "a table", value)
        return Config(value, self.name)

    def within(self, outer: "Config", *keys: str) -> "Config":
        """The configuration with these keys taken from `outer` where it does not have them itself."""
        inherited = {key: value for key in keys if (value := outer.raw(key)) is not None}
        return Config({**inherited, **self._data}, self.name)

    def wrong(self, keys: tuple[str, ...], wanted: str, value: object) -> InputError:
        """The error for a key that holds something else than wanted."""
        if value is None:
            return InputError(f"{self.name}: config has no `{keys[0]}`", "is this a language model's config.json?")
        return InputError(f"{self.name}: `{keys[0]}` must be {wanted}, not {shown(value)}")

    def _whole(self, keys: tuple[str, ...], default: Any, smallest: int) -> Any:
        value = self.raw(*keys)
        if value is None and default is not _REQUIRED:
            return default
        if not _is_whole(value, smallest):
            raise self.wrong(keys, f"a whole number from {smallest} to 2^40", value)
        if value > MOST_LAYERS and not _DEPTHS.isdisjoint(keys):
            raise self.wrong(keys, f"at most {MOST_LAYERS:,}", value)
        return value


def _is_whole(value: object, smallest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= LARGEST
