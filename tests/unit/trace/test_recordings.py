"""What real allocators did, replayed block for block."""

import lzma
from pathlib import Path

import pytest

from vramcast.trace.snapshot import read_snapshot
from vramcast.trace.snapshot_replay import compare_with

RECORDINGS = Path(__file__).parent / "recordings"
RESERVED = {"forward_bf16": 861_929_472, "out_of_memory": 11_844_714_496, "training": 7_235_174_400}  # as torch counted


@pytest.mark.parametrize("name", RESERVED)
def test_a_real_snapshot_ends_in_its_own_segments(name: str, tmp_path: Path) -> None:
    """Every block lies where the real allocator put it, and the totals at the end are its own."""
    file = tmp_path / "snapshot.pickle"
    file.write_bytes(lzma.decompress((RECORDINGS / f"{name}.pickle.xz").read_bytes()))
    compared = compare_with(read_snapshot(file))
    assert compared.recording.timeline.events
    assert not compared.misplaced
    assert compared.same_segments and compared.equal
    assert compared.reserved == (RESERVED[name], RESERVED[name])
    assert compared.active[0] == compared.active[1]
