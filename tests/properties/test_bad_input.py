"""Whatever is thrown at the sources: a model with at least one parameter, or a one-line error. Never anything else."""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.properties.grown_configs import grown_configs
from tests.safetensors_writer import header_of, write_header
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.model import ModelSpec
from vramcast.sources.config import LARGEST
from vramcast.sources.folder import from_config, read_file, read_folder
from vramcast.sources.read import read_config
from vramcast.sources.registry import readers
from vramcast.sources.resolve import load_model
from vramcast.sources.safetensors import DTYPES, parse_header, read_header
from vramcast.units import MIB

FUZZ = settings(deadline=2000, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = (
    st.sampled_from([-1, 0, 1, 2, 3, 7, 10_001, 2**31, LARGEST, LARGEST + 1, -(2**63), 10**400, 1e308])
    | st.integers()
    | st.floats()
)
WORDS = st.sampled_from(
    ["", "64", "full_attention", "sliding_attention", "mamba", "linear_attention", "\ud800\n\x1b[2J"]
)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def refused(ask: Callable[[], ModelSpec]) -> bool:
    """Whether the question was refused; fails on any answer that is neither a sound model nor a one-line error."""
    try:
        model = ask()
    except (InputError, UnsupportedError) as error:
        assert error.what.isprintable()
        assert 0 < len(error.what) < 400
        assert error.hint.isprintable()
        return True
    assert 0 < model.parameters <= 10**15
    assert 0 < model.active_parameters <= model.parameters
    assert all(weight.numel >= 0 for weight in model.weights)
    assert all(size > 0 for _, size in model.stored)
    assert all(note.isprintable() for note in model.notes)
    return False


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples of this file."""
    with TemporaryDirectory() as name:
        yield Path(name)


def test_nearly_every_reader_is_fuzzed() -> None:
    """The configs that the other tests change cover the readers; a new reader with special wishes may be missing."""
    assert len(grown_configs()) >= 0.9 * len(readers())


@FUZZ
@given(st.data())
def test_config_with_keys_replaced(data: st.DataObject) -> None:
    """Any keys that a reader looks at, present or optional, may hold anything."""
    grown = data.draw(st.sampled_from(list(grown_configs().values())))
    keys = data.draw(st.lists(st.sampled_from(grown.keys), min_size=1, max_size=3, unique=True))
    refused(lambda: read_config({**grown.config, **{key: data.draw(VALUES) for key in keys}}, "fuzz"))


@pytest.mark.parametrize("value", [0, LARGEST, 10**400, float("nan"), float("-inf")], ids=lambda value: str(value)[:4])
def test_extreme_number_under_every_key(value: float) -> None:
    """Zero, the largest size, a number that no float can hold, and floats that are no numbers, for every reader."""
    for grown in grown_configs().values():
        for key in grown.keys:
            refused(lambda grown=grown, key=key: read_config({**grown.config, key: value}, "fuzz"))


@FUZZ
@given(
    st.dictionaries(st.sampled_from(["quant_method", "bits", "load_in_4bit", "weight_bits", "config_groups"]), VALUES)
)
@example({"quant_method": "gptq", "bits": 4})
def test_any_quantisation_is_no_crash(settings: dict[str, Any]) -> None:
    """How a checkpoint says that it is quantised may be anything, too."""
    refused(lambda: from_config({**grown_configs()["llama"].config, "quantization_config": settings}, "fuzz"))


@FUZZ
@given(st.data())
def test_config_with_odd_sizes(data: st.DataObject) -> None:
    """Sizes that are each possible, but do not fit each other, divide by nothing that is zero."""
    grown = data.draw(st.sampled_from(list(grown_configs().values())))
    sizes = st.dictionaries(st.sampled_from(grown.keys), st.integers(0, 40), max_size=8)
    refused(lambda: read_config({**grown.config, **data.draw(sizes)}, "fuzz"))


@FUZZ
@given(st.data())
def test_config_with_keys_missing(data: st.DataObject) -> None:
    """Every key may be missing."""
    grown = data.draw(st.sampled_from(list(grown_configs().values())))
    kept = data.draw(st.sets(st.sampled_from(sorted(grown.config))))
    refused(lambda: read_config({key: value for key, value in grown.config.items() if key in kept}, "fuzz"))


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, 1.5, "64", True, [64], {}, LARGEST + 1, None])
def test_size_that_is_no_size_is_refused(key: str, value: object) -> None:
    """A size is a whole number above zero; nothing is rounded, parsed or defaulted."""
    assert refused(lambda: read_config({**grown_configs()["gemma"].config, key: value}, "fuzz"))


def test_sum_that_is_no_model_is_refused() -> None:
    """Each size is possible, their product is not: no number is given."""
    config = {**grown_configs()["llama"].config, "hidden_size": 2**39, "vocab_size": 2**39}
    with pytest.raises(InputError, match="more than any model"):
        read_config(config, "fuzz")


@FUZZ
@given(VALUES)
@example([])
@example({"model_type": "llama", "text_config": {}})
def test_any_json_is_no_crash(value: object) -> None:
    """A config may be any JSON at all."""
    assert refused(lambda: read_config(value, "fuzz"))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 100, 900])
def test_nested_text_configs(depth: int) -> None:
    """A text config in a text config is read to a sane depth, and refused beyond."""
    config: dict[str, Any] = deepcopy(grown_configs()["llama"].config)
    for _ in range(depth):
        config = {"model_type": "wrapper", "text_config": config}
    assert refused(lambda: read_config(config, "fuzz")) == (depth > 3)


@FUZZ
@given(data=st.binary(max_size=200) | st.text(max_size=50).map(str.encode) | VALUES.map(json.dumps).map(str.encode))
def test_any_file_is_no_crash(data: bytes, folder: Path) -> None:
    """A file may hold any bytes, whatever its name promises."""
    for name in ("config.json", "model.safetensors.index.json", "model.safetensors"):
        path = folder / name
        path.write_bytes(data)
        refused(lambda path=path: read_file(path, "fuzz"))
        refused(lambda: read_folder(folder, "fuzz"))
        path.unlink()


ENTRIES = st.dictionaries(
    st.text(max_size=8),
    st.tuples(st.sampled_from(list(DTYPES)), st.lists(st.integers(0, 9), max_size=4).map(tuple)),
    max_size=6,
)


@FUZZ
@given(entries=ENTRIES)
def test_header_survives_writing_and_reading(entries: dict[str, tuple[str, tuple[int, ...]]], folder: Path) -> None:
    """read ∘ write is the identity, and the sum of the bytes is the length of the data."""
    whole = {
        name: (dtype, (*shape, 8) if DTYPES[dtype][1] < 8 else shape)
        for name, (dtype, shape) in entries.items()
        if name != "__metadata__"
    }
    table = header_of(whole)
    size = max((entry["data_offsets"][1] for entry in table.values()), default=0)
    header = read_header(write_header(folder / "written.safetensors", table, size), "fuzz")
    read = {
        tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [tensor.start, tensor.end]}
        for tensor in header.tensors
    }
    assert read == table
    assert sum(tensor.bytes for tensor in header.tensors) == size
    assert header.surplus == 0


SHAPES = st.lists(st.integers(-1, 2**64) | SCALARS, max_size=5) | SCALARS
OFFSETS = st.lists(st.integers(-1, 64) | st.integers(), min_size=2, max_size=2) | VALUES


@FUZZ
@given(
    st.dictionaries(
        st.text(max_size=3),
        st.fixed_dictionaries(
            {"dtype": st.sampled_from(list(DTYPES)) | VALUES, "shape": SHAPES, "data_offsets": OFFSETS}
        )
        | VALUES,
        max_size=4,
    )
)
def test_any_header_is_no_crash(table: dict[str, Any]) -> None:
    """Entries of wrong types, overlapping offsets and giant shapes are refused or sound."""
    try:
        tensors = parse_header(json.dumps(table).encode(), "fuzz")
    except InputError as error:
        assert error.what.isprintable()
        return
    assert sum(tensor.bytes for tensor in tensors) == max((tensor.end for tensor in tensors), default=0)


@FUZZ
@given(length=st.integers(0, 2**64 - 1) | st.integers(0, 64), text=st.binary(max_size=64), more=st.integers(0, 2**40))
def test_any_header_length_is_no_crash(length: int, text: bytes, more: int, folder: Path) -> None:
    """A length past the file, past the format's limit, or into the data is refused; nothing is read for it."""
    path = folder / "length.safetensors"
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + min(more, MIB))
    refused(lambda: read_file(path, "fuzz"))


@FUZZ
@given(
    st.text(max_size=300)
    | st.from_regex(r"[\w.-]{1,9}/[\w.-]{1,9}(@\w{1,9})?")
    | st.from_regex(r"[\d.,e+]{1,12}[kmbtKMBT]?")
)
@example("\0")
@example("x" * 100_000)
@example("a/" * 5000)
@example("/dev/null")
@example("/dev/zero")
@example("/proc/self/mem")
@example(".")
@example("~")
@example("\ud800/\ud800")
def test_any_name_is_no_crash(name: str) -> None:
    """A model may be called anything."""
    refused(lambda: load_model(name, offline=True))


def test_100_megabytes_of_json_are_refused_quickly(folder: Path) -> None:
    """Valid JSON of 100 MB costs no more than looking at its size."""
    path = folder / "huge.json"
    with path.open("w") as file:
        file.write('{"model_type": "llama", "junk": [')
        file.writelines("1234567890," * 10**6 for _ in range(9))
        file.write("1]}")
    start = time.perf_counter()
    assert refused(lambda: load_model(str(path)))
    assert time.perf_counter() - start < 0.2
