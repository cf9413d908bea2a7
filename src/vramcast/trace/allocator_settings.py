"""Settings of the caching allocator, as PYTORCH_CUDA_ALLOC_CONF writes them."""

from dataclasses import dataclass, replace

from vramcast.domain.errors import InputError
from vramcast.units import MIB

NAMES = "expandable_segments:True, max_split_size_mb:N, roundup_power2_divisions:N"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorSettings:
    """
    What changes which memory is reserved.

    Attributes:
        expandable_segments: pages are mapped as they are needed, behind one another.
        max_split_size: bytes from which on a block is never split; None: every block may be.
        roundup_power2_divisions: sizes are rounded up to one of so many steps between powers of two; 0: they are not.

    Source:   torch c10/core/AllocatorConfig.h, 2.13.
    Ignores:  garbage_collection_threshold (only with a memory fraction set), pinned memory, private pools of CUDA graphs.
    """

    expandable_segments: bool = False
    max_split_size: int | None = None
    roundup_power2_divisions: int = 0


def read_settings(text: str) -> AllocatorSettings:
    """
    The settings in `text`, such as `expandable_segments:True,max_split_size_mb:128`.

    Raises:
        InputError: a name or a value that the simulator does not know.
    """
    settings = AllocatorSettings()
    for pair in (part.strip() for part in text.split(",") if part.strip()):
        name, _, value = pair.partition(":")
        if name == "expandable_segments" and value.lower() in ("true", "false"):
            settings = replace(settings, expandable_segments=value.lower() == "true")
        elif name == "max_split_size_mb" and value.isdecimal() and int(value) > 20:
            settings = replace(settings, max_split_size=int(value) * MIB)
        elif name == "roundup_power2_divisions" and value.isdecimal() and int(value).bit_count() == 1:
            settings = replace(settings, roundup_power2_divisions=int(value))
        else:
            raise InputError(f"allocator settings: cannot use {pair[:60]!r}", NAMES)
    return settings
