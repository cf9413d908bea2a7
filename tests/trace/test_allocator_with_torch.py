"""What torch itself says about allocator settings and about written snapshots."""

import ctypes
from pathlib import Path

import pytest
import torch
from torch.cuda import _memory_viz

from tests.timelines import Program
from vramcast.domain.errors import InputError
from vramcast.trace.allocator_settings import AllocatorSettings, read_settings
from vramcast.trace.plain_pickle import loads_plain
from vramcast.trace.replay import replay
from vramcast.trace.snapshot_writer import simulated_snapshot, write_snapshot
from vramcast.units import MIB

LIBRARY = Path(torch.__file__).parent / "lib" / "libc10.so"
DIVISIONS_OF = "_ZN3c1016CachingAllocator26AcceleratorAllocatorConfig24roundup_power2_divisionsEm"
TEXTS = (
    "",
    "roundup_power2_divisions:4",
    "roundup_power2_divisions:[64:8,256:4,1024:4,>:1]",
    "roundup_power2_divisions:[256:1,512:2,1024:4,>:8]",
    "roundup_power2_divisions:[4:2,>:4],expandable_segments:True",
    "roundup_power2_divisions:[1024:2,64:4,>:8]",
    "roundup_power2_divisions:[131072:4]",
    "roundup_power2_divisions:[4:0]",
    "roundup_power2_divisions:[1:2, 2:4]",
    "max_split_size_mb: 128 , expandable_segments : False",
    "max_split_size_mb:20",
    "max_split_size_mb:19",
    "max_split_size_mb:x",
    "max_non_split_rounding_mb:5",
    "garbage_collection_threshold:0.8",
    "garbage_collection_threshold:1.0",
    "garbage_collection_threshold:0",
    "expandable_segments:true",
    "roundup_power2_divisions:3",
    "roundup_power2_divisions:0",
    "roundup_power2_divisions:[3:2]",
    "roundup_power2_divisions:[64:8,>:2",
)


def torch_divisions() -> tuple[int, ...]:
    """Divisions by size, as torch's own allocator settings stand."""
    divisions_of = getattr(ctypes.CDLL(str(LIBRARY)), DIVISIONS_OF)
    divisions_of.restype, divisions_of.argtypes = ctypes.c_size_t, [ctypes.c_size_t]
    return tuple(divisions_of(MIB << interval) for interval in range(16))


@pytest.mark.parametrize("text", TEXTS)
def test_settings_as_torch_reads_them(text: str) -> None:
    """torch takes what is taken here, refuses what is refused, and rounds the same sizes by the same divisions."""
    try:
        torch._C._accelerator_setAllocatorSettings(text)
    except (ValueError, RuntimeError):
        with pytest.raises(InputError):
            read_settings(text)
    else:
        assert read_settings(text).roundup_power2_divisions == torch_divisions()
    finally:
        torch._C._accelerator_setAllocatorSettings("")


@pytest.mark.parametrize("expandable", [False, True])
def test_torch_reads_a_written_snapshot(expandable: bool) -> None:
    """torch's own tools sum its segments, follow its actions and draw it."""
    program = Program()
    for size in (3, 5, 12, 30, 0.5):
        program.ask(size * MIB)
    program.give(1, 3)
    program.ask(4 * MIB)
    settings = AllocatorSettings(expandable_segments=expandable)
    done = replay(program.timeline, settings)
    raw = loads_plain(write_snapshot(simulated_snapshot(program.timeline, done, settings)))
    summary = _memory_viz.segsum(raw)
    assert f"total_reserved: {_memory_viz.Bytes(done.reserved)}\n" in summary
    assert f"total_allocated: {_memory_viz.Bytes(19.5 * MIB)}\n" in summary  # as requested: 3 + 12 + 0.5 + 4
    assert f"{len(raw['device_traces'][0])} entries\n" in _memory_viz.trace(raw)
    assert "Active Memory Timeline" in _memory_viz.trace_plot(raw)
