"""Sort, top-k, sampling, and adding at indices."""

import pytest
import torch

from tests.trace.kernels.calls import A100, H100, empty, ops, sizes, taken
from vramcast.trace.kernels import Target
from vramcast.trace.kernels.cub import radix_sort_bytes, segmented_sort_bytes


def test_radix_sort_of_pairs_of_64_bits() -> None:
    """
    10,000 pairs on an A100: 8 passes, tiles of 384 · 10.

    Histograms 8 · 256 · 8 = 16,384; look-back 3 · 1,024 = 3,072; keys and values 80,000 as 80,128 each; 8 counters of 4 B as
    256; 255 to align.
    """
    assert radix_sort_bytes(10_000, 8, 8, A100) == 16_384 + 3_072 + 80_128 + 80_128 + 256 + 255


@pytest.mark.parametrize(("target", "tile"), [(A100, 3840), (H100, 4608)])
def test_radix_sort_tiles(target: Target, tile: int) -> None:
    """One more item than a whole number of tiles is one more row of the look-back table, 1,024 bytes."""
    items = 32 * 9 * tile  # items of 8 bytes fill whole pieces of 256 bytes
    one_more = radix_sort_bytes(items + 1, 8, 8, target) - radix_sort_bytes(items, 8, 8, target)
    assert one_more == 1_024 + 2 * 256


def test_radix_sort_in_one_tile_and_in_one_pass() -> None:
    """Few items need no storage; keys of 8 bits no second pair of buffers: 2,048 + 3 · 1,024 + 256 + 255."""
    assert radix_sort_bytes(2_304, 8, 8, A100) == 1
    assert radix_sort_bytes(10_000, 8, 8, A100, bits=8) == 2_048 + 3_072 + 256 + 255


def test_sort_of_short_rows_is_in_place() -> None:
    """Up to 4,096 items a row nothing is taken."""
    assert taken(ops.sort.default, empty(3, 4096)) == []


def test_sort_of_one_row() -> None:
    """Positions and CUB's storage."""
    logits = empty(1, 128256, dtype=torch.float32)
    assert sizes(taken(ops.sort.stable, logits, stable=False, dim=-1, descending=True)) == [
        128256 * 8,
        radix_sort_bytes(128256, 4, 8, A100),
    ]


def test_sort_of_several_rows() -> None:
    """Below 128 rows all are sorted at once: pairs of row and position twice, and keys; from 128 on by segments."""
    few = empty(4, 5000, dtype=torch.float32)
    assert sizes(taken(ops.sort.default, few)) == [160_000, 160_000, 80_000, radix_sort_bytes(20_000, 4, 8, A100)]
    many = empty(128, 5000, dtype=torch.float32)
    assert sizes(taken(ops.sort.default, many)) == [640_000 * 8, segmented_sort_bytes(640_000, 4, 8)]
    assert segmented_sort_bytes(640_000, 4, 8) == 2_560_000 + 5_120_000 + 255


def test_sort_across_strides() -> None:
    """Keys, results and positions are packed first."""
    found = sizes(taken(ops.sort.default, empty(5000, 1, dtype=torch.float32), 0))
    assert len(found) == 2
    across = sizes(taken(ops.sort.default, empty(5000, 2, dtype=torch.float32), 0))
    assert across[:3] == [40_000, 40_000, 80_000]


def test_argsort_drops_the_values() -> None:
    """The sorted values are taken and dropped."""
    (values,) = taken(ops.argsort.default, empty(10, 100))
    assert (values.bytes, values.before) == (2_000, True)


def test_topk() -> None:
    """More than 4,096 results in order are sorted again; fewer, or in any order, are not."""
    logits = empty(2, 100_000, dtype=torch.float32)
    assert taken(ops.topk.default, logits, 50) == []
    assert taken(ops.topk.default, logits, 5000, sorted=False) == []
    found = sizes(taken(ops.topk.default, logits, 5000))
    assert found[:2] == [10_000 * 8, 10_000 * 4]
    assert found[2:] == [80_000, 80_000, 40_000, radix_sort_bytes(10_000, 4, 8, A100)]


def test_multinomial() -> None:
    """One sample: noise for each probability; several with replacement: none."""
    chances = empty(3, 1000, dtype=torch.float32)
    assert sizes(taken(ops.multinomial.default, chances, 1)) == [12_000]
    assert taken(ops.multinomial.default, chances, 2, True) == []


def test_index_put() -> None:
    """5,000 indices of 70,000 rows: four lists of 8 B, a sort of 17 bits (3 passes); without accumulation nothing."""
    rows, index, values = empty(70_000, 64), empty(5_000, dtype=torch.int64), empty(5_000, 64)
    assert taken(ops.index_put_.default, rows, [index], values) == []
    found = sizes(taken(ops._index_put_impl_.default, rows, [index], values, True))
    assert found == [40_000] * 4 + [3 * 2_048 + 2 * 1_024 + 2 * 40_192 + 256 + 255]
    assert sizes(taken(ops.index_put.default, rows, [index], values, accumulate=True)) == found


def test_index_put_of_one_value() -> None:
    """A value for all places is spread and packed; indices of two dimensions choose single elements."""
    table, ones = empty(100, 100), empty(dtype=torch.bfloat16)
    first, second = empty(40, 1, dtype=torch.int64), empty(1, 50, dtype=torch.int64)
    found = sizes(taken(ops.index_put_.default, table, [first, second], ones, True))
    assert found == [2_000 * 2] + [2_000 * 8] * 4 + [1]


def test_index_put_of_a_mask_is_not_counted() -> None:
    """How many elements a mask chooses is not known."""
    mask = empty(100, dtype=torch.bool)
    assert taken(ops.index_put_.default, empty(100, 4), [mask], empty(4), True) == []


def test_index_add_deterministic() -> None:
    """Only deterministic algorithms sort."""
    rows, index, added = empty(256, 4), empty(3_000, dtype=torch.int64), empty(3_000, 4)
    assert taken(ops.index_add_.default, rows, 0, index, added) == []
    target = Target((8, 0), 108, (2, 13), kept_workspace=True, deterministic=True)
    found = sizes(taken(ops.index_add_.default, rows, 0, index, added, target=target))
    assert found == [24_000] * 4 + [2_048 + 1_024 + 256 + 255]
