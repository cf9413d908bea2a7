"""Models on disk."""

import json
from pathlib import Path

import pytest

from tests.safetensors_writer import write_safetensors, write_shards
from tests.unit.sources.models import CONFIG, PARAMETERS, TENSORS
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.sources.folder import is_model_folder, read_file, read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the small Llama's config."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_config_alone(folder: Path) -> None:
    """A config gives layers and Φ; nothing is known of what is stored."""
    model = read_folder(folder, "tiny")
    assert (model.name, model.parameters, model.stored, model.notes) == ("tiny", PARAMETERS, (), ())
    assert model.source == "config.json"


def test_config_and_headers_agree(folder: Path) -> None:
    """Where the headers hold exactly the counted parameters, the bytes are added and there is nothing to note."""
    write_safetensors(folder / "model.safetensors", TENSORS)
    model = read_folder(folder, "tiny")
    assert (model.parameters, model.stored, model.notes) == (PARAMETERS, (("bf16", 2 * PARAMETERS),), ())
    assert model.source == "config.json and safetensors headers"


def test_sharded_folder(folder: Path) -> None:
    """Shards add up to the same as one file."""
    half = len(TENSORS) // 2
    items = list(TENSORS.items())
    shards = {"model-1.safetensors": dict(items[:half]), "model-2.safetensors": dict(items[half:])}
    write_shards(folder, shards)
    assert read_folder(folder, "tiny").stored == (("bf16", 2 * PARAMETERS),)


def test_surplus_elements_are_noted(folder: Path) -> None:
    """Buffers and extra prediction layers are stored but not counted; the note says how many."""
    write_safetensors(folder / "model.safetensors", {**TENSORS, "rotary.inv_freq": ("F32", (8,))})
    model = read_folder(folder, "tiny")
    assert model.parameters == PARAMETERS
    assert f"hold 8 elements more than the {PARAMETERS:,} parameters" in model.notes[0]


def test_quantised_checkpoint_is_not_cross_checked(folder: Path) -> None:
    """Packed integers are no parameters: only their bytes count."""
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": {"quant_method": "gptq"}}))
    assert "quantisation ('gptq')" in read_folder(folder, "tiny").notes[0]
    write_safetensors(folder / "model.safetensors", {"qweight": ("I32", (8, 64)), "scales": ("F16", (64,))})
    model = read_folder(folder, "tiny")
    assert (model.parameters, model.stored, model.notes) == (PARAMETERS, (("fp16", 128), ("int32", 2048)), ())


def test_broken_headers_beside_a_config_are_noted(folder: Path) -> None:
    """The config still answers when the weights are pointers to files that were never fetched."""
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 5\n")
    model = read_folder(folder, "tiny")
    assert (model.parameters, model.stored) == (PARAMETERS, ())
    assert "Git LFS pointer" in model.notes[0]


def test_headers_alone(tmp_path: Path) -> None:
    """Without a config only the weights are known, and a note says so."""
    write_safetensors(tmp_path / "model.safetensors", TENSORS)
    model = read_folder(tmp_path, "tiny")
    assert (model.parameters, model.layers, model.stored) == (PARAMETERS, (), (("bf16", 2 * PARAMETERS),))
    assert model.notes[0].startswith("only the weights are known")


def test_single_files(folder: Path) -> None:
    """A config, a safetensors file and an index can be named by themselves."""
    path = write_safetensors(folder / "model.safetensors", TENSORS)
    index = write_shards(folder, {"a.safetensors": {"w": ("F32", (100,))}})
    assert read_file(folder / "config.json", "c").num_layers == 2
    assert read_file(path, "s").parameters == PARAMETERS
    assert read_file(index, "i").stored == (("fp32", 400),)


def test_one_part_of_several_is_noted(tmp_path: Path) -> None:
    """One of four files is answered as what it is."""
    path = write_safetensors(tmp_path / "model-00002-of-00004.safetensors", {"w": ("BF16", (4,))})
    model = read_file(path, "part")
    assert (model.parameters, model.notes[-1]) == (4, "the other 3 files of this model")


def test_nested_text_config_is_read(tmp_path: Path) -> None:
    """A multimodal config is read through its language model, and the rest is named as left out."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llava", "text_config": CONFIG, "torch_dtype": "float16"}))
    model = read_file(path, "llava")
    assert (model.parameters, model.dtype) == (PARAMETERS, "fp16")
    assert "'llava'" in model.notes[0]


def test_adapter_is_not_a_model(tmp_path: Path) -> None:
    """A LoRA adapter's own size would be a wrong answer; the hint names its base model."""
    write_safetensors(tmp_path / "adapter_model.safetensors", {"lora_A": ("F32", (16, 64))})
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "meta-llama/Llama-3.1-8B"}')
    with pytest.raises(InputError, match="an adapter") as error:
        read_folder(tmp_path, "mine")
    assert "meta-llama/Llama-3.1-8B" in error.value.hint


def test_folder_without_a_model(tmp_path: Path) -> None:
    """An empty folder is no model folder, and says what it lacks."""
    assert not is_model_folder(tmp_path)
    with pytest.raises(InputError, match=r"neither a config\.json nor"):
        read_folder(tmp_path, "empty")


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    """A file that is neither JSON nor safetensors is not guessed at."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK")
    with pytest.raises(UnsupportedError, match="no kind of file"):
        read_file(path, "model.pt")
