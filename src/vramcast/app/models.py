"""Well-known models: all, those that a word picks, or one by name; and the architectures that closed forms know."""

from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches

from vramcast.catalog.models import ModelRow, all_rows, find_model_row
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError
from vramcast.domain.run import ServeRun
from vramcast.rules.kv_cache import kv_cache, recurrent_state
from vramcast.sources.known_model import Architecture, KnownModel
from vramcast.sources.read import read_config
from vramcast.sources.registry import readers

_CACHE_FORMAT = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`models` that were asked for; `named` says that the one was asked for by its name."""

    models: tuple[KnownModel, ...]
    named: bool = False


def list_models(word: str | None) -> Listing:
    """
    The models whose name, alias, family or architecture holds `word`; a whole name or alias picks this one alone.

    Raises:
        InputError: no model of the catalog matches.
    """
    row = find_model_row(word) if word else None
    if row is not None:
        return Listing(models=(_known(row),), named=True)
    rows = [row for row in all_rows() if not word or _holds(row, word.strip().lower())]
    if not rows:
        raise _no_match(word or "", [name for row in all_rows() for name in (row.name, row.model_type)])
    return Listing(models=tuple(map(_known, rows)))


def list_architectures(word: str | None) -> tuple[Architecture, ...]:
    """
    Every `model_type` with a closed form, by name; with `word`, those that hold it.

    Raises:
        InputError: none holds it.
    """
    models = defaultdict(list)
    for row in all_rows():
        models[row.model_type].append(row.name)
    known = sorted(readers())
    found = [model_type for model_type in known if not word or word.strip().lower() in model_type]
    if not found:
        raise _no_match(word or "", known)
    return tuple(Architecture(model_type=name, models=tuple(models[name])) for name in found)


def _known(row: ModelRow) -> KnownModel:
    model = read_config(row.config, row.name)
    one_token = ServeRun(kv_format=find_format(_CACHE_FORMAT), max_model_len=1)
    state = recurrent_state(model, one_token)
    return KnownModel(
        row=row,
        model=model,
        token_bytes=kv_cache(model, one_token).bytes,
        state_bytes=state.bytes if state else 0,
    )


def _holds(row: ModelRow, word: str) -> bool:
    return any(word in name.lower() for name in (row.name, *row.aliases, row.family, row.model_type))


def _no_match(word: str, known: list[str]) -> InputError:
    near = get_close_matches(word.lower()[:60], dict.fromkeys(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "vramcast models lists them all"
    return InputError(f"nothing in the catalog matches {word[:40]!r}", hint)
