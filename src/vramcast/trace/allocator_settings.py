"""Settings of the caching allocator, as PYTORCH_CUDA_ALLOC_CONF writes them, and the sizes that follow from them."""

from collections.abc import Callable
from dataclasses import dataclass

from vramcast.domain.errors import InputError
from vramcast.units import MIB

SMALLEST = 512
SMALL = MIB  # requests up to this come from the small pool
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
LARGE = 10 * MIB  # requests from this on get segments of their own, in steps of 2 MiB
STEP = 2 * MIB
INTERVALS = 16  # sizes from 1 MiB to 64 GiB, each twice the one before, may be rounded differently

READ = (
    "expandable_segments:True, max_split_size_mb:N, max_non_split_rounding_mb:N, garbage_collection_threshold:F, "
    "roundup_power2_divisions:N or :[256:1,512:2,>:4], large_segment_size_mb:N"
)
IGNORED = (  # host memory, virtual addresses, locks, errors: not which device memory is reserved
    "expandable_segments_reserve",
    "expandable_segments_reserve_by_class",
    "graph_capture_record_stream_reuse",
    "pinned_max_cached_size_mb",
    "pinned_max_round_threshold_mb",
    "pinned_num_register_threads",
    "pinned_reserve_segment_size_mb",
    "pinned_use_background_threads",
    "pinned_use_cuda_host_register",
    "release_lock_on_cudamalloc",
    "throw_on_cudamalloc_oom",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorSettings:
    """
    What changes which memory is reserved.

    Attributes:
        expandable_segments: pages are mapped as they are needed, behind one another.
        max_split_size: bytes from which on a block is never split; None: every block may be.
        max_non_split_rounding: a block may be this much larger than a request that is never split.
        roundup_power2_divisions: for sizes from 1, 2, 4, ... MiB: rounded up to one of so many steps between powers of
            two; 0 and 1: they are not.
        large_segment: bytes of the segments that serve requests above 1 and below 10 MiB.
        memory_limit: bytes that may be reserved: fraction · total memory, after `set_per_process_memory_fraction`.
        garbage_collection_threshold: share of that limit from which on old cached segments are given back; 0: never.

    Source:   torch c10/core/AllocatorConfig.h, 2.13.
    """

    expandable_segments: bool = False
    max_split_size: int | None = None
    max_non_split_rounding: int = LARGE_SEGMENT
    roundup_power2_divisions: tuple[int, ...] = (0,) * INTERVALS
    large_segment: int = LARGE_SEGMENT
    memory_limit: int | None = None
    garbage_collection_threshold: float = 0.0

    def block_size(self, requested: int) -> int:
        """Bytes of the block that a request needs."""
        interval = min(max(requested.bit_length() - MIB.bit_length(), 0), INTERVALS - 1)
        divisions = self.roundup_power2_divisions[interval]
        if divisions > 1 and requested > SMALLEST * divisions:
            step = (1 << (requested - 1).bit_length() - 1) // divisions
            return -(-requested // step) * step
        return rounded(requested)

    def segment_size(self, size: int) -> int:
        """Bytes that are asked of the driver for a block of `size` bytes."""
        if size <= SMALL:
            return SMALL_SEGMENT
        return self.large_segment if size < LARGE else -(-size // STEP) * STEP


def rounded(size: int) -> int:
    """`size` rounded up to a multiple of 512, at least 512: what every block is made of."""
    return max(SMALLEST, -(-size // SMALLEST) * SMALLEST)


def read_settings(text: str) -> AllocatorSettings:
    """
    The settings in `text`, such as `expandable_segments:True,max_split_size_mb:128`. Names that change nothing here pass.

    Raises:
        InputError: a name that torch does not know, or a value that it refuses.
    """
    values: dict[str, object] = {}
    for name, value in _pairs(text):
        if name in _READERS:
            field, read = _READERS[name]
            try:
                values[field] = read(value)
            except ValueError as error:
                raise InputError(f"allocator settings: {name}:{value[:60]} {error}", READ) from None
        elif name not in IGNORED and (name, value) != ("backend", "native"):
            raise InputError(f"allocator settings: cannot use {name[:60]}:{value[:60]}", READ)
    values.setdefault("max_non_split_rounding", values.get("large_segment", LARGE_SEGMENT))
    settings = AllocatorSettings(**values)  # type: ignore[arg-type]
    least = settings.large_segment
    whole = least if settings.max_split_size is None else settings.max_split_size
    if min(whole, settings.max_non_split_rounding) < least:
        text = f"max_split_size_mb and max_non_split_rounding_mb start at {least // MIB}"
        raise InputError(f"allocator settings: {text}", READ)
    return settings


def write_settings(settings: AllocatorSettings) -> str:
    """The text that `read_settings` reads; `memory_limit` is no part of it. Defaults are left out."""
    default = AllocatorSettings()
    values = {
        "expandable_segments": settings.expandable_segments,
        "large_segment_size_mb": settings.large_segment // MIB,
        "max_split_size_mb": (settings.max_split_size or 0) // MIB,
        "max_non_split_rounding_mb": settings.max_non_split_rounding // MIB,
        "garbage_collection_threshold": settings.garbage_collection_threshold,
        "roundup_power2_divisions": _written(settings.roundup_power2_divisions),
    }
    changed = [_READERS[name][0] for name in values]
    pairs = zip(values.items(), changed, strict=True)
    return ",".join(
        f"{name}:{value}" for (name, value), field in pairs if getattr(settings, field) != getattr(default, field)
    )


def _written(divisions: tuple[int, ...]) -> str:
    return "[" + ",".join(f"{1 << interval}:{count}" for interval, count in enumerate(divisions)) + "]"


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values; a value in brackets has commas and colons of its own."""
    found, depth, start = [], 0, 0
    text = "".join(text.split()) + ","
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            name, _, value = text[start:at].partition(":")
            if name:
                found.append((name, value))
            start = at + 1
    if depth:
        raise InputError("allocator settings: brackets do not match", READ)
    return found


def _flag(value: str) -> bool:
    if value not in ("True", "False"):
        raise ValueError("must be True or False")
    return value == "True"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("is not a whole number")
    return int(text)


def _mebibytes(value: str) -> int:
    return _number(value) * MIB


def _segment_mebibytes(value: str) -> int:
    size = _number(value) * MIB
    if size <= LARGE:
        raise ValueError("must be above 10")
    return size


def _share(value: str) -> float:
    share = float(value)
    if not 0 < share < 1:
        raise ValueError("must lie between 0 and 1")
    return share


def _power_of_two(text: str) -> int:
    number = _number(text)
    if number.bit_count() != 1:
        raise ValueError("has a number that is no power of 2")
    return number


def _divisions(value: str) -> tuple[int, ...]:
    """`4` for all sizes, or `[256:1,512:2,>:4]`: below 512 MiB one, below 1 GiB two, above it four divisions."""
    if not value.startswith("["):
        return (_power_of_two(value),) * INTERVALS
    divisions = [0] * INTERVALS
    last = -1
    for pair in value[1:-1].split(","):
        size, _, count_text = pair.partition(":")
        count = 0 if count_text == "0" else _power_of_two(count_text)
        if size == ">":
            divisions[last + 1 :] = [count] * (INTERVALS - last - 1)
            continue
        interval = min(_power_of_two(size).bit_length() - 1, INTERVALS - 1)
        if last < 0:
            divisions[:interval] = [count] * interval
        divisions[interval] = count
        last = interval
    return tuple(divisions)


_READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "expandable_segments": ("expandable_segments", _flag),
    "max_split_size_mb": ("max_split_size", _mebibytes),
    "max_non_split_rounding_mb": ("max_non_split_rounding", _mebibytes),
    "roundup_power2_divisions": ("roundup_power2_divisions", _divisions),
    "garbage_collection_threshold": ("garbage_collection_threshold", _share),
    "large_segment_size_mb": ("large_segment", _segment_mebibytes),
}
