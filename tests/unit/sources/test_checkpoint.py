"""Several safetensors files taken together, and indexes with and without their files."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.safetensors_writer import header_of, write_header, write_safetensors, write_shards
from vramcast.domain.errors import InputError
from vramcast.sources.checkpoint import bare_checkpoint, read_checkpoint, read_index

SHARDS: dict[str, Any] = {
    "model-00001-of-00002.safetensors": {"a": ("BF16", (10, 10)), "b": ("F32", (5,))},
    "model-00002-of-00002.safetensors": {"c": ("F8_E4M3", (7,)), "d": ("BF16", (1,))},
}


def test_index_sums_its_shards(tmp_path: Path) -> None:
    """With the shards there, bytes are exact for each number format, whatever the index claims."""
    checkpoint = read_index(write_shards(tmp_path, SHARDS, {"total_size": 1}), "m")
    assert checkpoint.stored == (("bf16", 202), ("fp32", 20), ("fp8-e4m3", 7))
    assert (checkpoint.numel, checkpoint.plain, checkpoint.complete, checkpoint.notes) == (113, False, True, ())


def test_index_without_its_shards_gives_its_own_sum(tmp_path: Path) -> None:
    """One missing shard leaves the index's total; the number formats are then unknown, and a note says so."""
    index = write_shards(tmp_path, SHARDS, {"total_size": 229.0})
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    checkpoint = read_index(index, "m")
    assert checkpoint.stored == (("unknown", 229),)
    assert not checkpoint.complete
    assert "1 of the index's files are missing" in checkpoint.notes[0]


def test_bare_model_of_a_lone_index_assumes_two_bytes(tmp_path: Path) -> None:
    """Without formats the count is a stated assumption; an index that counts for itself is believed."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": 2000}}))
    model = bare_checkpoint(read_index(index, "m"), "m")
    assert model.parameters == 1000
    assert any("two bytes a parameter are assumed" in note for note in model.notes)
    sizes = {"total_size": 2000, "total_parameters": 900}
    index.write_text(json.dumps({"weight_map": {"a": "x.safetensors"}, "metadata": sizes}))
    model = bare_checkpoint(read_index(index, "m"), "m")
    assert model.parameters == 900
    assert not any("assumed" in note for note in model.notes)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": ["a"]},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": "a\0.safetensors"}},
        {"weight_map": {}},
        {"weight_map": {"a": "x.safetensors"}, "metadata": None},
        {"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": -5}},
        {"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": True}},
        {"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": 10**40}},
        {"weight_map": {"a": "x.safetensors"}, "metadata": {"total_size": float("nan")}},
    ],
    ids=str,
)
def test_bad_index_is_an_input_error(index: dict[str, Any], tmp_path: Path) -> None:
    """An index that is none, points out of its folder, or gives no size, gives no number."""
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"^m: "):
        read_index(path, "m")


def test_index_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    """An index from a stranger reads no other file of this machine, though it be there and sound."""
    outside = write_safetensors(tmp_path / "outside.safetensors", {"a": ("BF16", (4,))})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.weights").write_bytes(outside.read_bytes())
    for shard in ("../outside.safetensors", str(outside), "a.weights"):
        index = tmp_path / "model" / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"a": shard}}))
        with pytest.raises(InputError, match="is no safetensors file of this folder"):
            read_index(index, "m")


def test_tensor_that_only_the_index_knows_is_an_input_error(tmp_path: Path) -> None:
    """Shards that belong to another model are not summed."""
    index = write_shards(tmp_path, SHARDS)
    write_safetensors(tmp_path / "model-00002-of-00002.safetensors", {"c": ("BF16", (7,))})
    with pytest.raises(InputError, match="'d' is in the index, but in none of its files"):
        read_index(index, "m")


def test_folder_prefers_index_then_single_file_then_parts(tmp_path: Path) -> None:
    """A second copy of the weights in another layout is not counted on top."""
    write_safetensors(tmp_path / "consolidated.safetensors", {"x": ("F32", (1000,))})
    assert read_checkpoint(tmp_path, "m").numel == 1000
    index = write_shards(tmp_path, SHARDS)
    assert read_checkpoint(tmp_path, "m").numel == 113
    index.unlink()
    assert read_checkpoint(tmp_path, "m").numel == 113
    write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", (2,))})
    assert read_checkpoint(tmp_path, "m").numel == 2


def test_missing_part_without_index_is_an_input_error(tmp_path: Path) -> None:
    """Two of four parts are not summed as if they were the model."""
    for part in (1, 3):
        write_safetensors(tmp_path / f"model-0000{part}-of-00004.safetensors", {f"w{part}": ("BF16", (4,))})
    with pytest.raises(InputError, match="2 of the model's safetensors files are missing"):
        read_checkpoint(tmp_path, "m")


def test_same_tensor_twice_is_an_input_error(tmp_path: Path) -> None:
    """Two files with the same tensor are two models, or two copies; their sum would be wrong."""
    for name in ("a.safetensors", "b.safetensors"):
        write_safetensors(tmp_path / name, {"w": ("BF16", (4,))})
    with pytest.raises(InputError, match="'w' stands in two files"):
        read_checkpoint(tmp_path, "m")


def test_truncated_file_is_noted(tmp_path: Path) -> None:
    """The answer comes from the header, with a note by how much the file is short."""
    write_header(tmp_path / "model.safetensors", header_of({"w": ("BF16", (1024, 1024))}), data=2**20)
    checkpoint = read_checkpoint(tmp_path, "m")
    assert checkpoint.stored == (("bf16", 2**21),)
    assert checkpoint.notes == ("model.safetensors is 1.00 MiB shorter than its header says",)


@pytest.mark.parametrize("entries", [{}, {"w": ("BF16", (0, 8))}, {"w": ("U8", (2**60,))}], ids=str)
def test_checkpoint_of_nothing_or_too_much_is_no_model(entries: dict[str, Any], tmp_path: Path) -> None:
    """A bare model has at least one parameter and fewer than a thousand trillion."""
    write_header(tmp_path / "model.safetensors", header_of(entries))
    with pytest.raises(InputError, match="are no model"):
        bare_checkpoint(read_checkpoint(tmp_path, "m"), "m")


def test_bare_model_takes_the_main_format(tmp_path: Path) -> None:
    """A few FP32 norms do not make a checkpoint FP32; packed integers leave the format at its default."""
    write_safetensors(tmp_path / "model.safetensors", {"w": ("F16", (100,)), "n": ("F32", (10,))})
    model = bare_checkpoint(read_checkpoint(tmp_path, "m"), "m")
    assert (model.dtype, model.parameters, model.layers, model.weights) == ("fp16", 110, (), ())
    write_safetensors(tmp_path / "model.safetensors", {"w": ("I32", (100,)), "n": ("F16", (10,))})
    model = bare_checkpoint(read_checkpoint(tmp_path, "m"), "m")
    assert model.dtype == "bf16"
    assert any("packed or scaled" in note for note in model.notes)
