"""Memory-efficient attention."""

from typing import NamedTuple

from torch import Tensor

from vramcast.trace.kernels.attention_sizes import FLOAT, TOKENS_FIRST, Sizes, heads_first, tokens_first
from vramcast.trace.kernels.call import Call, ceil_div, copied, round_up
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden, Target

WIDEST_TILE = 128
LOCK_BYTES = 16
MOST_PARALLEL = 200
BUSY_GRID = 256
AMPLE_SHARED_MEMORY = ((7, 0), (7, 2), (8, 0), (8, 7), (9, 0), (10, 0), (10, 1), (10, 3), (11, 0))
NARROW_TILES = ((8, 6), (8, 9))


class Tile(NamedTuple):
    """Queries and keys of one block, and whether its gradients of keys and values stay in registers."""

    queries: int
    keys: int
    in_registers: bool


@entry(
    "efficient forward",
    "aten._scaled_dot_product_efficient_attention.default",
    "aten._efficient_attention_forward.default",
)
def efficient_forward(call: Call) -> tuple[Hidden, ...]:
    """
    The output in fp32, if a head is wider than a tile and the output is not fp32 itself.

    Formula:    4 B · B · T · N · Hv, if max(H, Hv) > 128 in fp16 or bf16
    Source:     torch aten/src/ATen/native/transformers/cuda/attention.cu, efficient_attention_forward_cutlass (main), mem_eff_attention/kernel_forward.h (2.6)
    Exactness:  exact
    """
    query, value = call["query"], call["value"]
    if query.element_size() != 2 or max(query.shape[-1], value.shape[-1]) <= WIDEST_TILE:
        return ()
    return (Hidden(FLOAT * query.numel() // query.shape[-1] * value.shape[-1], "output in fp32"),)


@entry(
    "efficient backward",
    "aten._scaled_dot_product_efficient_attention_backward.default",
    "aten._efficient_attention_backward.default",
)
def efficient_backward(call: Call) -> tuple[Hidden, ...]:
    """
    Row sums and one workspace: tiles of the queries' gradient, and of keys' and values' where they do not fit in registers.

    Formula:    4 B · B · N · Tq + B · N · (ceil(Tq / I) · ceil(H / J) · (16 B + 4 B · I · J) + 4 B · S · J · (ceil_I(H) + ceil_I(Hv)));
                tiles I × J from width, format and shared memory; S splits of the keys; the last part only in fp16 and bf16
                when the tile does not keep it; a copy of dO if not packed
    Source:     torch aten/src/ATen/native/transformers/cuda/attention_backward.cu (main, 2026),
                mem_eff_attention/kernel_backward.h (2.6) and kernels/generate_kernels.py
    Exactness:  modelled
    Ignores:    whether the widest tiles fit in shared memory is taken from the capability; the product of dO and O in fp32, which is
                gone before the workspace; a gradient of the mask
    """
    query, value, heads_lead = call["query"], call["value"], "scaled" in call.operator
    sizes = heads_first(query, call["key"]) if heads_lead else tokens_first(query, call["key"])
    tile = _tile(query, value, call.target)
    splits = _splits(sizes, tile, call.target)
    elements = ceil_div(sizes.queries, tile.queries) * ceil_div(sizes.width, tile.keys)
    elements *= LOCK_BYTES // FLOAT + tile.queries * tile.keys
    if not tile.in_registers and query.element_size() == 2:
        widths = round_up(sizes.width, tile.queries) + round_up(value.shape[-1], tile.queries)
        elements += splits * tile.keys * widths
    copy = copied(call["grad_out_"], TOKENS_FIRST if heads_lead else ())
    pairs = sizes.batch * sizes.heads
    return (
        *((Hidden(copy, "gradient, packed", before=True),) if copy else ()),
        Hidden(FLOAT * pairs * sizes.queries, "row sums"),
        Hidden(FLOAT * pairs * round_up(elements, 4), "gradients in fp32"),
    )


def _tile(query: Tensor, value: Tensor, target: Target) -> Tile:
    width, half = max(query.shape[-1], value.shape[-1]), query.element_size() == 2
    device, ampere = target.device, target.device >= (8, 0)
    if width <= 64:
        return Tile(64, 64, half)
    if device in NARROW_TILES and half and width <= 96:
        return Tile(128, 64, in_registers=True)
    if device not in AMPLE_SHARED_MEMORY or (not half and not ampere):
        return Tile(64, 64, in_registers=False)
    if width <= WIDEST_TILE and half:
        return Tile(128, 128 if ampere else 64, in_registers=True)
    return Tile(128, 64, in_registers=False)


def _splits(sizes: Sizes, tile: Tile, target: Target) -> int:
    """Into how many parts the keys are split."""
    pairs, splits = sizes.batch * sizes.heads, ceil_div(sizes.keys, tile.keys)
    if target.deterministic or (pairs >= BUSY_GRID and sizes.keys <= 2 * tile.keys):
        return 1
    return splits if tile.in_registers else max(1, min(splits, MOST_PARALLEL // pairs))


ENTRIES = (efficient_forward, efficient_backward)
