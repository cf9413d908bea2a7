"""Headers of safetensors files."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.safetensors_writer import header_of, write_header, write_safetensors
from vramcast.domain.errors import InputError
from vramcast.sources.safetensors import DTYPES, parse_header, read_header


def header_bytes(table: dict[str, Any]) -> bytes:
    """A header as it stands in the file."""
    return json.dumps(table).encode()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_bytes(dtype: str, tmp_path: Path) -> None:
    """Eight elements take as many bytes as one has bits, packed where an element is less than a byte."""
    header = read_header(write_safetensors(tmp_path / "m.safetensors", {"w": (dtype, (2, 4))}), "m")
    (tensor,) = header.tensors
    assert (tensor.bytes, tensor.numel, tensor.format) == (DTYPES[dtype][1], 8, DTYPES[dtype][0])
    assert header.surplus == 0


def test_sparse_file_of_a_terabyte_is_read(tmp_path: Path) -> None:
    """Only the header is read: a file larger than the disk costs nothing."""
    path = write_safetensors(tmp_path / "m.safetensors", {"w": ("F32", (2**19, 2**19))})
    assert path.stat().st_size > 2**40
    assert read_header(path, "m").tensors[0].bytes == 2**40


def test_truncated_file_answers_from_its_header(tmp_path: Path) -> None:
    """A download that stopped halfway still says what the whole would be, and by how much it is short."""
    path = write_header(tmp_path / "m.safetensors", header_of({"w": ("BF16", (10, 10))}), data=50)
    header = read_header(path, "m")
    assert (header.tensors[0].bytes, header.surplus) == (200, -150)


def test_longer_file_is_told(tmp_path: Path) -> None:
    """Bytes after the data are counted, not ignored."""
    path = write_header(tmp_path / "m.safetensors", header_of({"w": ("BF16", (10, 10))}), data=207)
    assert read_header(path, "m").surplus == 7


def test_tensors_come_in_order_of_their_data() -> None:
    """The order of the JSON does not matter; empty tensors and scalars are tensors too."""
    table = header_of({"a": ("F32", (3,)), "none": ("F32", (0, 5)), "b": ("U8", ()), "c": ("I64", (2, 2))})
    tensors = parse_header(header_bytes(dict(reversed(table.items()))), "m")
    assert [tensor.name for tensor in tensors] == ["a", "none", "b", "c"]
    assert [tensor.numel for tensor in tensors] == [3, 0, 1, 4]


def entry(**change: Any) -> bytes:
    """A header of one tensor of four BF16 elements, with a change."""
    return header_bytes({"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8], **change}})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"[]", "not a table"),
        (header_bytes({"w": 3}), "'w' is not a table"),
        (header_bytes({"w": {}}), "has dtype None"),
        (entry(dtype="F128"), "has dtype 'F128'"),
        (entry(dtype=["BF16"]), "has dtype"),
        (entry(shape=[2.0, 2]), "impossible shape"),
        (entry(shape=[-2, -2]), "impossible shape"),
        (entry(shape=[True, 4]), "impossible shape"),
        (entry(shape="22"), "impossible shape"),
        (entry(shape=None), "impossible shape"),
        (entry(data_offsets=[8, 0]), "impossible shape"),
        (entry(data_offsets=[0, 8, 16]), "impossible shape"),
        (entry(data_offsets=[0, 2**64]), "impossible shape"),
        (entry(data_offsets=[0, 9]), "do not fit"),
        (entry(shape=[2, 3]), "do not fit"),
        (entry(shape=[2**62, 2**62]), "do not fit"),
        (entry(dtype="F4", shape=[3], data_offsets=[0, 1]), "do not fit"),
        (entry(data_offsets=[8, 16]), "leaves a hole"),
        (
            header_bytes(
                {
                    "a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
                    "b": {"dtype": "U8", "shape": [8], "data_offsets": [4, 12]},
                }
            ),
            "'b' overlaps",
        ),
    ],
    ids=lambda value: value[:60].decode() if isinstance(value, bytes) else value,
)
def test_contradictory_header_is_an_input_error(header: bytes, message: str) -> None:
    """A header that no safetensors library would load gives no number."""
    with pytest.raises(InputError, match=message):
        parse_header(header, "m.safetensors")


def test_giant_shape_is_refused_quickly() -> None:
    """The product of a million huge sizes would take minutes; it is given up as soon as no file could hold it."""
    header = entry(shape=[2**62] * 500_000)
    start = time.perf_counter()
    with pytest.raises(InputError, match="do not fit"):
        parse_header(header, "m.safetensors")
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short"),
        (b"\x02\0\0", "too short"),
        (bytes(8), "too short"),
        ((2**63).to_bytes(8, "little") + b"{}", "the format allows 100 MB"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "the format allows 100 MB"),
        ((1000).to_bytes(8, "little") + b"{}", "cut off inside its header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        ((4).to_bytes(8, "little") + b"\xff\xff\xff\xff", "not UTF-8"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_file_that_is_no_safetensors_file_is_an_input_error(data: bytes, message: str, tmp_path: Path) -> None:
    """Lengths past the file, past the format's limit, and foreign files are told apart."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_header(path, "m.safetensors")
