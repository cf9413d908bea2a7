"""What PYTORCH_CUDA_ALLOC_CONF says."""

import pytest

from vramcast.domain.errors import InputError
from vramcast.trace.allocator_settings import AllocatorSettings, read_settings, write_settings
from vramcast.units import MIB


def test_defaults() -> None:
    """No text, no changes; names that change no device memory pass."""
    assert read_settings("") == AllocatorSettings()
    assert read_settings("pinned_use_background_threads:True, backend:native") == AllocatorSettings()


def test_all_names() -> None:
    """Spaces do not matter, a comma at the end neither."""
    text = (
        "expandable_segments:True, max_split_size_mb: 128,max_non_split_rounding_mb:40,"
        "garbage_collection_threshold:0.8,large_segment_size_mb:32,"
    )
    assert read_settings(text) == AllocatorSettings(
        expandable_segments=True,
        max_split_size=128 * MIB,
        max_non_split_rounding=40 * MIB,
        garbage_collection_threshold=0.8,
        large_segment=32 * MIB,
    )


@pytest.mark.parametrize(
    ("value", "divisions"),
    [
        ("4", (4,) * 16),
        ("[64:8,256:4,1024:4,>:1]", (8, 8, 8, 8, 8, 8, 8, 0, 4, 0, 4, 1, 1, 1, 1, 1)),
        ("[256:1,512:2,1024:4,>:8]", (1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 8, 8, 8, 8)),
        ("[4:2]", (2, 2, 2, *[0] * 13)),
        ("[4:0]", (0,) * 16),
        ("[1024:2,64:4,>:8]", (2, 2, 2, 2, 2, 2, 4, *[8] * 9)),
        ("[131072:4]", (4,) * 16),
    ],
)
def test_divisions(value: str, divisions: tuple[int, ...]) -> None:
    """One for each power of two of MiB, as torch 2.13 answers: below the first size as there, between two sizes none."""
    assert read_settings(f"roundup_power2_divisions:{value}").roundup_power2_divisions == divisions


def test_a_larger_large_segment_lets_blocks_be_rounded_as_far() -> None:
    """`max_non_split_rounding` is as large as a large segment unless it is set."""
    assert read_settings("large_segment_size_mb:64").max_non_split_rounding == 64 * MIB


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("expandable_segments:true", "must be True or False"),
        ("expandable_segments", "must be True or False"),
        ("max_split_size_mb:19", "start at 20"),
        ("max_split_size_mb:0", "start at 20"),
        ("max_split_size_mb:32,large_segment_size_mb:64", "start at 64"),
        ("max_non_split_rounding_mb:5", "start at 20"),
        ("max_split_size_mb:abc", "is not a whole number"),
        ("max_split_size_mb:-1", "is not a whole number"),
        ("large_segment_size_mb:10", "must be above 10"),
        ("garbage_collection_threshold:1.0", "between 0 and 1"),
        ("garbage_collection_threshold:0", "between 0 and 1"),
        ("garbage_collection_threshold:nan", "between 0 and 1"),
        ("garbage_collection_threshold:much", "could not convert"),
        ("roundup_power2_divisions:3", "no power of 2"),
        ("roundup_power2_divisions:0", "no power of 2"),
        ("roundup_power2_divisions:[3:2]", "no power of 2"),
        ("roundup_power2_divisions:[64:8,>:2", "brackets do not match"),
        ("roundup_power2_divisions:[]", "is not a whole number"),
        ("backend:cudaMallocAsync", "cannot use backend:cudaMallocAsync"),
        ("nonsense:3", "cannot use nonsense:3"),
    ],
)
def test_nonsense(text: str, what: str) -> None:
    """What torch refuses, and what is not simulated, is an error that says so."""
    with pytest.raises(InputError) as caught:
        read_settings(text)
    assert what in caught.value.what
    assert "max_split_size_mb" in caught.value.hint + caught.value.what


def test_written_and_read() -> None:
    """The text of settings is read back as the same settings."""
    settings = AllocatorSettings(max_split_size=64 * MIB, roundup_power2_divisions=(0, 2, *[4] * 14))
    assert write_settings(AllocatorSettings()) == ""
    assert read_settings(write_settings(settings)) == settings
