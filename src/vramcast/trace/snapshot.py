"""What `torch.cuda.memory._dump_snapshot` writes: segments of a moment, and the allocator's actions that led there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vramcast.domain.errors import InputError
from vramcast.trace.allocator_settings import AllocatorSettings, read_settings
from vramcast.trace.plain_pickle import load_plain

USED = "active_allocated"
WAITING = "active_pending_free"  # freed, but another stream may still use it
FREE = "inactive"
STATES = (USED, WAITING, FREE)
ACTIONS = (
    "alloc",
    "free_requested",
    "free_completed",
    "segment_alloc",
    "segment_free",
    "segment_map",
    "segment_unmap",
    "oom",
    "snapshot",
)
DEFAULT_POOL = (0, 0)
HINT = "give a file of torch.cuda.memory._dump_snapshot"


class Frame(NamedTuple):
    """A line of code."""

    name: str
    filename: str
    line: int


class Entry(NamedTuple):
    """
    One of the allocator's `ACTIONS`.

    `size` is as requested, before rounding, or that of the segment. `address` of an oom is what the device had free.
    `category` is for torch's page, which colours by it; torch itself writes none.
    """

    action: str
    address: int
    size: int
    stream: int
    pool: tuple[int, int] = DEFAULT_POOL
    frame: Frame | None = None
    category: str = ""


class SnapshotBlock(NamedTuple):
    """A block of a segment."""

    address: int
    size: int
    requested: int
    state: str


class SnapshotSegment(NamedTuple):
    """Memory from the driver. `pool` is that of a CUDA graph or `MemPool`, or (0, 0)."""

    address: int
    size: int
    stream: int
    small: bool
    expandable: bool
    pool: tuple[int, int]
    blocks: tuple[SnapshotBlock, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Segments of one device by address, the actions recorded before in order, and the allocator's settings."""

    segments: tuple[SnapshotSegment, ...]
    entries: tuple[Entry, ...]
    settings: AllocatorSettings

    @property
    def reserved(self) -> int:
        """Bytes of the segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def active(self) -> int:
        """Bytes of the blocks in use, or freed but awaited by another stream."""
        return sum(block.size for segment in self.segments for block in segment.blocks if block.state != FREE)


def read_snapshot(path: Path, device: int = 0) -> Snapshot:
    """
    The snapshot in `path`, of one device.

    Raises:
        InputError: the file is not a snapshot, wants to load code, or holds impossible sizes.
    """
    return snapshot_of(load_plain(path), str(path), device)


def snapshot_of(raw: Any, name: str, device: int = 0) -> Snapshot:
    """
    The snapshot in torch's own form, from what is called `name` in messages.

    Raises:
        InputError: it is not a snapshot.
    """
    where = "segments"
    try:
        segments: list[SnapshotSegment] = []
        for segment in raw["segments"]:
            where = f"segment {len(segments)}"
            if segment.get("device", 0) == device:
                segments.append(_segment(segment))
        where = "device_traces"
        traces = raw["device_traces"]
        entries: list[Entry] = []
        for entry in traces[device] if device < len(traces) else ():
            where = f"trace entry {len(entries)}"
            entries.append(_entry(entry))
        where = "allocator_settings"
        settings = _settings(raw.get("allocator_settings") or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{name}: not a memory snapshot: {where}: {problem}", HINT) from None
    return Snapshot(segments=tuple(sorted(segments)), entries=tuple(entries), settings=settings)


def _segment(raw: Mapping[str, Any]) -> SnapshotSegment:
    address, size = _number(raw["address"]), _number(raw["total_size"])
    segment = SnapshotSegment(
        address=address,
        size=size,
        stream=_number(raw["stream"]),
        small=_one_of(raw["segment_type"], ("small", "large")) == "small",
        expandable=bool(raw.get("is_expandable", False)),
        pool=_pool(raw.get("segment_pool_id", DEFAULT_POOL)),
        blocks=tuple(_blocks(raw["blocks"], address)),
    )
    if sum(block.size for block in segment.blocks) != size:
        raise ValueError("its blocks do not fill it")
    return segment


def _blocks(raw: Sequence[Mapping[str, Any]], address: int) -> Iterator[SnapshotBlock]:
    for block in raw:
        size = _number(block["size"])
        if _number(block.get("address", address)) != address:  # snapshots of torch 2.0 have none
            raise ValueError("its blocks do not follow one another")
        yield SnapshotBlock(address, size, _number(block.get("requested_size", size)), _one_of(block["state"], STATES))
        address += size


def _entry(raw: Mapping[str, Any]) -> Entry:
    action = _one_of(raw["action"], ACTIONS)
    return Entry(
        action,
        _number(raw["device_free" if action == "oom" else "addr"]),
        _number(raw["size"]),
        _number(raw["stream"]),
        _pool(raw.get("pool_id", DEFAULT_POOL)),
        _frame(raw.get("frames") or ()),
        str(raw.get("category", "")),
    )


def _frame(frames: Sequence[Mapping[str, Any]]) -> Frame | None:
    """The innermost line of Python, or whatever is innermost."""
    for frame in frames:
        if frame["filename"].endswith(".py"):
            break
    else:
        if not frames:
            return None
        frame = frames[0]
    return Frame(str(frame["name"]), str(frame["filename"]), int(frame["line"]))


def _settings(raw: Mapping[str, Any]) -> AllocatorSettings:
    """From the text that was set; snapshots of torch before 2.3 say nothing, and get the defaults."""
    text = raw.get("PYTORCH_CUDA_ALLOC_CONF", "")
    if not isinstance(text, str):
        raise TypeError("not text")
    return read_settings(text)


def _number(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**64:
        raise TypeError("a number is missing")
    return value


def _one_of(value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"unknown {str(value)[:40]!r}")
    return str(value)


def _pool(value: Any) -> tuple[int, int]:
    first, second = value
    return _number(first), _number(second)
