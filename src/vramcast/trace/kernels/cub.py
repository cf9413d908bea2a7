"""What CUB's radix sort needs."""

from vramcast.trace.kernels.call import ceil_div, round_up
from vramcast.trace.kernels.target import Target

RADIX_BITS = 8
DIGITS = 1 << RADIX_BITS
OFFSET, COUNTER = 8, 4
SEGMENT = 256
ONE_TILE_THREADS, ONE_TILE_ITEMS = 256, 19
SHARED_MEMORY = 48 * 1024
PORTION = 2**28 - 1


def radix_sort_bytes(items: int, key: int, value: int, target: Target, bits: int = 0) -> int:
    """
    Bytes of temporary storage for a sort of `items` pairs into other buffers.

    Formula:    items · (key + value) + ceil(items / tile) · 1,024 B + passes · 2,052 B, each part up to 256 B, and 255 B more;
                one byte if one tile holds all; a single pass (8 bits) needs no second pair of buffers
    Source:     CCCL cub/device/dispatch/dispatch_radix_sort.cuh, tuning/tuning_radix_sort.cuh, util_arch.cuh (main, 2026)
    Exactness:  modelled
    Ignores:    tiles of earlier versions (a few percent); below Hopper the histograms of 1- and 2-byte keys; inputs above 2²⁸ items
    """
    if items <= _tile(ONE_TILE_THREADS, ONE_TILE_ITEMS, max(key, value)):
        return 1
    passes = ceil_div(bits or 8 * key, RADIX_BITS)
    buffers = [items * key, items * value] if passes > 1 else []
    if key < 4 and target.device < (9, 0):
        return sum(round_up(one, SEGMENT) for one in buffers) + SEGMENT - 1
    portions = ceil_div(items, PORTION)
    parts = [
        portions * passes * DIGITS * OFFSET,
        ceil_div(items, _onesweep_tile(key, value, target)) * DIGITS * COUNTER,
        *buffers,
        portions * passes * COUNTER,
    ]
    return sum(round_up(part, SEGMENT) for part in parts) + SEGMENT - 1


def segmented_sort_bytes(items: int, key: int, value: int) -> int:
    """
    Bytes of temporary storage for a sort of many segments.

    Formula:    items · key + items · value, each up to 256 B, and 255 B more
    Source:     CCCL cub/device/dispatch/dispatch_segmented_radix_sort.cuh (main, 2026)
    """
    return round_up(items * key, SEGMENT) + round_up(items * value, SEGMENT) + SEGMENT - 1


def _onesweep_tile(key: int, value: int, target: Target) -> int:
    wide, small = max(key, value), value < 8
    if target.device < (8, 0):
        return _tile(256, 46 if key == value == 4 else 23, wide)
    if target.device < (9, 0):
        return _tile(384, 17 if key == 4 and value else 21, wide)
    if key >= 8:
        return _tile(384, 30 if small else 24, wide)
    if key == 4:
        return _tile(384, (17 if small else 29) if value else 19, wide)
    return _tile(512, 23, wide)


def _tile(threads: int, items: int, size: int) -> int:
    """Items of one block: the nominal numbers are for 4 bytes."""
    per_thread = max(1, items * 4 // max(4, size))
    return per_thread * min(threads, ceil_div(SHARED_MEMORY // (size * per_thread), 32) * 32)
