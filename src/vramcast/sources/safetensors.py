"""
The header of a safetensors file: which tensors it holds, in which number format. The tensors are never read.

Layout: eight bytes, little-endian, the length n of the header; n bytes of JSON; the data. The JSON maps each name to
`dtype`, `shape` and `data_offsets`; data is laid end to end, without holes.
Source: https://github.com/huggingface/safetensors, README (format) and safetensors/src/tensor.rs (dtypes, limits).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vramcast.domain.errors import InputError
from vramcast.sources.json_file import parse_json
from vramcast.sources.shown import shown
from vramcast.units import format_bytes

LARGEST_HEADER = 100_000_000  # the format's own limit
_LARGEST_DATA = 2**63
_PREFIX = 8

# The header's word: (our number format, bits of one element). BOOL takes a byte; F4 and F6 are packed.
DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("fp64", 64),
    "F32": ("fp32", 32),
    "F16": ("fp16", 16),
    "BF16": ("bf16", 16),
    "F8_E4M3": ("fp8-e4m3", 8),
    "F8_E5M2": ("fp8-e5m2", 8),
    "F8_E8M0": ("e8m0", 8),
    "F8_E4M3FNUZ": ("fp8-e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("fp8-e5m2fnuz", 8),
    "F6_E2M3": ("fp6-e2m3", 6),
    "F6_E3M2": ("fp6-e3m2", 6),
    "F4": ("fp4-e2m1", 4),
    "I64": ("int64", 64),
    "I32": ("int32", 32),
    "I16": ("int16", 16),
    "I8": ("int8", 8),
    "U64": ("uint64", 64),
    "U32": ("uint32", 32),
    "U16": ("uint16", 16),
    "U8": ("uint8", 8),
    "BOOL": ("bool", 8),
    "C64": ("complex64", 64),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a header; `start` and `end` count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    numel: int
    start: int
    end: int

    @property
    def bytes(self) -> int:
        """What the tensor takes in the file, and in memory once loaded as it is."""
        return self.end - self.start

    @property
    def format(self) -> str:
        """The number format in vramcast's words, such as `bf16`."""
        return DTYPES[self.dtype][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The tensors of one file in the order of their data; `surplus` is its length minus what the header says it is."""

    tensors: tuple[Tensor, ...]
    surplus: int = 0


def read_header(path: Path, name: str) -> Header:
    """
    The header of a safetensors file, which may be sparse, or cut off anywhere after the header.

    Raises:
        InputError: not a regular file, unreadable, not a safetensors file, cut off inside the header, or a header that
            contradicts itself.
    """
    if not os.path.isfile(path):
        raise InputError(f"{name}: not a regular file")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            prefix = file.read(_PREFIX)
            length = _header_length(prefix, size, name)
            tensors = parse_header(file.read(length), name)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    data = tensors[-1].end if tensors else 0
    return Header(tensors=tensors, surplus=size - _PREFIX - length - data)


def parse_header(header: bytes, name: str) -> tuple[Tensor, ...]:
    """
    The tensors that a header's JSON lists, in the order of their data.

    Raises:
        InputError: not a JSON table, an entry of a wrong type, a dtype that the format does not have, or offsets that
            do not fit shape and dtype, overlap or leave a hole.
    """
    table = parse_json(header, f"{name}: header")
    table.pop("__metadata__", None)
    return checked_tensors(((key, *_entry(key, value, name)) for key, value in table.items()), name)


def checked_tensors(entries: Iterable[tuple[str, Any, Any, Any]], name: str) -> tuple[Tensor, ...]:
    """
    Tensors from (name, dtype, shape, offsets), in the order of their data.

    Raises:
        InputError: see `parse_header`.
    """
    tensors = sorted((_tensor(*entry, where=name) for entry in entries), key=lambda tensor: (tensor.start, tensor.end))
    position = 0
    for tensor in tensors:
        if tensor.start != position:
            flaw = "overlaps another" if tensor.start < position else "leaves a hole before it"
            raise InputError(f"{name}: the data of tensor {shown(tensor.name)} {flaw}", _DAMAGED)
        position = tensor.end
    return tuple(tensors)


# Private functions

_DAMAGED = "the file is damaged, or not a safetensors file"


def _header_length(prefix: bytes, size: int, name: str) -> int:
    if prefix == b"version ":
        raise InputError(f"{name}: a Git LFS pointer, not the file itself", "git lfs pull fetches it")
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _PREFIX or length < 2:
        raise InputError(f"{name}: too short for a safetensors file", _DAMAGED)
    if length > LARGEST_HEADER:
        raise InputError(f"{name}: a header of {format_bytes(length)}; the format allows 100 MB", _DAMAGED)
    if _PREFIX + length > size:
        raise InputError(
            f"{name}: the file is cut off inside its header ({format_bytes(size)} of {format_bytes(_PREFIX + length)})",
            "download it again",
        )
    return length


def _entry(key: str, value: Any, where: str) -> tuple[Any, Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: tensor {shown(key)} is not a table", _DAMAGED)
    return value.get("dtype"), value.get("shape"), value.get("data_offsets")


def _tensor(key: str, dtype: Any, shape: Any, offsets: Any, where: str) -> Tensor:
    label = f"{where}: tensor {shown(key)}"
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{label} has dtype {shown(dtype)}, which the format does not know", _DAMAGED)
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InputError(f"{label} has an impossible shape or data_offsets", _DAMAGED)
    numel = _numel(shape)
    if numel is None or numel * DTYPES[dtype][1] != (offsets[1] - offsets[0]) * 8:
        raise InputError(f"{label}: its data_offsets do not fit its shape and dtype", _DAMAGED)
    return Tensor(key, dtype, tuple(shape), numel, offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_DATA for value in values
    )


def _numel(shape: Iterable[int]) -> int | None:
    """Elements, or None once they are more than any file can hold: a shape of many huge sizes must not take for ever."""
    numel = 1
    for size in shape:
        numel *= size
        if numel > _LARGEST_DATA:
            return None
    return numel
