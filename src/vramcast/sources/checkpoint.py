"""A model's safetensors files taken together: what is stored, by number format. Headers only, never the tensors."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path, PurePosixPath

from vramcast.domain.errors import InputError, one_line
from vramcast.domain.model import MOST_PARAMETERS, ModelSpec, bare_model
from vramcast.sources.json_file import read_json
from vramcast.sources.safetensors import LARGEST_HEADER, Header, Tensor, read_header
from vramcast.sources.shown import shown
from vramcast.units import format_bytes

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LARGEST_INDEX = LARGEST_HEADER  # an index repeats the names of its shards' headers; a trillion parameters need 20 MB
_PLAIN = frozenset({"fp64", "fp32", "fp16", "bf16"})
_UNKNOWN_FORMAT = "unknown"
_PART = re.compile(r".+-\d{1,6}-of-(\d{1,6})\.safetensors", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """
    What the headers hold.

    `total_size` is set, and `tensors` empty, where only an index without its shards was found: then the number formats
    are not known. `total_parameters` is what such an index says of itself, if it does.
    """

    tensors: tuple[Tensor, ...] = ()
    total_size: int | None = None
    total_parameters: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Every shard's header was there."""
        return bool(self.tensors)

    @property
    def stored(self) -> tuple[tuple[str, int], ...]:
        """Bytes by number format, sorted by its name; `unknown` where only the index's sum is known."""
        if self.total_size is not None:
            return ((_UNKNOWN_FORMAT, self.total_size),)
        sums: dict[str, int] = {}
        for tensor in self.tensors:
            sums[tensor.format] = sums.get(tensor.format, 0) + tensor.bytes
        return tuple(sorted((name, size) for name, size in sums.items() if size))

    @property
    def plain(self) -> bool:
        """Every tensor is of a plain floating-point format, so that elements are parameters (or buffers)."""
        return self.complete and all(tensor.format in _PLAIN for tensor in self.tensors)

    @property
    def numel(self) -> int:
        """Elements stored, whatever they mean."""
        return sum(tensor.numel for tensor in self.tensors)


def read_checkpoint(folder: Path, name: str) -> Checkpoint | None:
    """
    The checkpoint in a folder: its index's shards, else `model.safetensors`, else `model-*-of-*`, else every safetensors
    file; None if there is none.

    Raises:
        InputError: an unreadable or contradictory index or header, a missing part, or one tensor in two files.
    """
    if isfile(folder / INDEX):
        return read_index(folder / INDEX, name)
    if isfile(folder / SINGLE):
        return read_files([folder / SINGLE], name)
    files = sorted(folder.glob("model-*-of-*.safetensors")) or sorted(folder.glob("*.safetensors"))
    missing = missing_parts(files)
    if missing:
        raise InputError(f"{name}: {missing} of the model's safetensors files are missing", "fetch them all")
    return read_files(files, name) if files else None


def missing_parts(files: Sequence[Path]) -> int:
    """How many more files there should be, by the names of those there are (`model-00001-of-00004.safetensors`)."""
    parts = [match for file in files if (match := _PART.fullmatch(file.name))]
    return max((int(part[1]) for part in parts), default=len(parts)) - len(parts)


def read_files(files: Iterable[Path], name: str) -> Checkpoint:
    """
    The checkpoint that these files make up.

    Raises:
        InputError: an unreadable or contradictory header, or one tensor in two files.
    """
    headers = [(file.name, read_header(file, f"{name}: {file.name}")) for file in files]
    return from_headers(headers, name)


def from_headers(headers: Iterable[tuple[str, Header]], name: str) -> Checkpoint:
    """
    The checkpoint that (file name, header) pairs make up.

    Raises:
        InputError: one tensor in two files: they are no parts of one model.
    """
    tensors: dict[str, Tensor] = {}
    notes: list[str] = []
    for file, header in headers:
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise InputError(
                    f"{name}: tensor {shown(tensor.name)} stands in two files, {shown(file)} is one of them",
                    "name the one file that is meant",
                )
            tensors[tensor.name] = tensor
        if header.surplus:
            side = "shorter" if header.surplus < 0 else "longer"
            notes.append(f"{one_line(file)} is {format_bytes(abs(header.surplus))} {side} than its header says")
    return Checkpoint(tensors=tuple(tensors.values()), notes=tuple(notes))


def read_index(path: Path, name: str) -> Checkpoint:
    """
    The checkpoint that a `model.safetensors.index.json` describes: its shards' headers, or its own sum without them.

    Raises:
        InputError: not an index, one that points out of its folder, or shards missing and no `total_size`.
    """
    index = read_json(path, name, _LARGEST_INDEX)
    weight_map, metadata = index.get("weight_map"), index.get("metadata")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise InputError(f"{name}: no safetensors index: `weight_map` must be a table of file names")
    shards = sorted(set(weight_map.values()))
    for shard in shards:
        _check_inside(shard, name)
    missing = [shard for shard in shards if not isfile(path.parent / shard)]
    if missing or not shards:
        return _without_shards(metadata, missing, name)
    checkpoint = read_files([path.parent / shard for shard in shards], name)
    absent = weight_map.keys() - {tensor.name for tensor in checkpoint.tensors}
    if absent:
        raise InputError(f"{name}: tensor {shown(min(absent))} is in the index, but in none of its files")
    return checkpoint


def bare_checkpoint(checkpoint: Checkpoint, name: str) -> ModelSpec:
    """
    The model of which only a checkpoint is known.

    Φ is the number of stored elements; of an index without shards, what it says itself, or else half its bytes.

    Raises:
        InputError: the checkpoint holds nothing, or more than any model.
    """
    notes = [
        "only the weights are known, no config.json: nothing that depends on the layers' shapes",
        *checkpoint.notes,
    ]
    parameters = checkpoint.numel
    if checkpoint.total_size is not None:
        parameters = checkpoint.total_parameters or checkpoint.total_size // 2
        if checkpoint.total_parameters is None:
            notes.append("the parameter count: two bytes a parameter are assumed, for the index does not say")
    elif not checkpoint.plain:
        notes.append("the parameter count: it is of stored elements, which are packed or scaled numbers in part")
    if not 0 < parameters <= MOST_PARAMETERS:
        raise InputError(f"{name}: {parameters:,} parameters are no model")
    model = bare_model(name, parameters, dtype=_main_format(checkpoint), stored=checkpoint.stored)
    return replace(model, source="safetensors headers", notes=tuple(notes))


# Private functions


def _check_inside(shard: str, name: str) -> None:
    parts = PurePosixPath(shard)
    if not shard.isprintable() or parts.is_absolute() or ".." in parts.parts or not shard.endswith(".safetensors"):
        raise InputError(f"{name}: {shown(shard)} in `weight_map` is no safetensors file of this folder")


def _without_shards(metadata: object, missing: list[str], name: str) -> Checkpoint:
    sizes = metadata if isinstance(metadata, dict) else {}
    size = _whole(sizes.get("total_size"), 16 * MOST_PARAMETERS)
    if size is None:
        raise InputError(
            f"{name}: {len(missing)} of the index's files are missing, and its `total_size` does not help",
            "fetch the .safetensors files, or name a folder with a config.json",
        )
    return Checkpoint(
        total_size=size,
        total_parameters=_whole(sizes.get("total_parameters"), MOST_PARAMETERS),
        notes=(f"number formats: {len(missing)} of the index's files are missing, so only its `total_size` is known",),
    )


def _whole(value: object, largest: int) -> int | None:
    """A number above zero that is not absurd, else None; some indexes write 1.6e10."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= largest:
        return int(value)
    return None


def _main_format(checkpoint: Checkpoint) -> str:
    name, _ = max(checkpoint.stored, key=lambda item: item[1], default=("bf16", 0))
    return name if name in _PLAIN else "bf16"
