"""JSON that is not what it should be."""

import os
import time
from pathlib import Path

import pytest

from vramcast.domain.errors import InputError
from vramcast.sources.json_file import LARGEST_CONFIG, parse_json, read_json
from vramcast.sources.shown import shown
from vramcast.units import MIB


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b'{"a": 1', "line 1"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[1, 2]", "a list"),
        (b"null", "null"),
        (b"3", "a number"),
        (b'"text"', "a string"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_broken_json_is_an_input_error(data: bytes, message: str) -> None:
    """Each way to break JSON has its own one-line message that names the file."""
    with pytest.raises(InputError, match=message) as error:
        parse_json(data, "config.json")
    assert error.value.what.startswith("config.json: ")
    assert error.value.what.isprintable()


def test_byte_order_mark_is_read_over() -> None:
    """Editors on Windows put a mark before the text; it is no error."""
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}


def test_infinity_passes_as_mamba_configs_hold_it() -> None:
    """Published configs contain the bare word Infinity; the file is readable all the same."""
    assert parse_json(b'{"time_step_limit": [0.0, Infinity]}', "x")["time_step_limit"][1] == float("inf")


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """100 MB of JSON cost neither time nor memory."""
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.write(b'{"a": [')
        file.truncate(100 * MIB)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"100\.00 MiB of JSON, more than the 16\.00 MiB"):
        read_json(path, "config.json")
    assert time.perf_counter() - start < 0.1


def test_largest_allowed_file_is_read(tmp_path: Path) -> None:
    """The limit itself is still allowed."""
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a": "' + b"x" * (LARGEST_CONFIG - 9) + b'"}')
    assert path.stat().st_size == LARGEST_CONFIG
    assert len(read_json(path, "x")["a"]) == LARGEST_CONFIG - 9


def test_pipe_does_not_block(tmp_path: Path) -> None:
    """A pipe that nobody writes to would block for ever; it is refused instead."""
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="not a regular file"):
        read_json(tmp_path / "config.json", "config.json")


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    """A folder called config.json is refused."""
    with pytest.raises(InputError, match="not a regular file"):
        read_json(tmp_path, "x")


def test_unreadable_file_says_why() -> None:
    """The system's own words explain a file that cannot be read; address 0 of one's own memory never can."""
    with pytest.raises(InputError, match="cannot be read: Input/output error"):
        read_json(Path("/proc/self/mem"), "x")


def test_shown_is_short_for_any_value() -> None:
    """A message stays short when the value is long, deep or both."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    for value in (deep, "x" * 10**6, 10**4000, list(range(10**5)), {"a" * 99: "b" * 99}):
        assert len(shown(value)) <= 40
