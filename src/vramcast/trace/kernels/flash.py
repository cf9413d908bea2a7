"""Flash attention of torch."""

from vramcast.trace.kernels.attention_sizes import FLOAT, TOKENS_FIRST, Sizes, heads_first, tokens_first
from vramcast.trace.kernels.call import Call, ceil_div, copied, round_up
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden, Target

ROWS = 128
MOST_SPLITS = 128


def padded_width(width: int) -> int:
    """The width that flash attention's accumulators have."""
    return round_up(width, 32 if width <= 128 else 64)


def key_splits(blocks: int, multiprocessors: int, key_blocks: int) -> int:
    """
    Into how many parts flash attention splits the keys so that all multiprocessors have work.

    The fewest parts whose last wave of blocks is at least 85 % as full as the best; one, if the blocks fill 80 % of the places.
    """
    places = 2 * multiprocessors
    if blocks >= 0.8 * places:
        return 1
    full = {}
    for splits in range(1, min(MOST_SPLITS, places, key_blocks) + 1):
        if splits == 1 or ceil_div(key_blocks, splits) != ceil_div(key_blocks, splits - 1):
            waves = blocks * splits / places
            full[splits] = waves / ceil_div(blocks * splits, places)
    best = max(full.values(), default=0.0)
    return next((splits for splits, waves in full.items() if waves >= 0.85 * best), 1)


def split_accumulators(sizes: Sizes, target: Target) -> tuple[Hidden, ...]:
    """Partial outputs and partial log-sums of the split keys."""
    per_block = 256 if sizes.width <= 64 else 128 if sizes.width <= 128 else 64
    blocks = sizes.batch * sizes.heads * ceil_div(sizes.queries, 64)
    splits = key_splits(blocks, target.sms, ceil_div(sizes.keys, per_block))
    if splits == 1:
        return ()
    rows = splits * sizes.batch * sizes.heads * sizes.queries
    return (
        Hidden(rows * FLOAT, "partial log-sums of split keys"),
        Hidden(rows * padded_width(sizes.width) * FLOAT, "partial outputs of split keys"),
    )


def _grouped(sizes: Sizes) -> Sizes:
    """One query token per sequence: the heads of a group become its tokens."""
    groups = sizes.heads // sizes.kv_heads
    return sizes._replace(queries=groups, heads=sizes.kv_heads) if sizes.queries == 1 and groups > 1 else sizes


@entry(
    "flash forward",
    "aten._scaled_dot_product_flash_attention.default",
    "aten._flash_attention_forward.default",
)
def flash_forward(call: Call) -> tuple[Hidden, ...]:
    """
    Accumulators, where few queries meet many keys.

    Formula:    4 B · splits · B · N · Tq · (ceil32(H) + 1), ceil64 above H = 128; splits from the occupancy of the device, 1 with dropout
    Source:     torch aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_fwd, set_params_splitkv (main, 2026)
    Exactness:  exact
    Ignores:    the copies of one token's queries and outputs when heads of a group change places; paged caches; FA3, if it is registered
    """
    if call["dropout_p"] > 0:
        return ()
    query, key = call["query"], call["key"]
    if "max_q" not in call:
        return split_accumulators(_grouped(heads_first(query, key)), call.target)
    window = call["window_size_left"], call["window_size_right"]
    sliding = any(one is not None and one >= 0 for one in window)
    cumulative = call["cum_seq_q"]
    if cumulative is None:
        sizes = tokens_first(query, key)
        return split_accumulators(sizes if sliding else _grouped(sizes), call.target)
    sizes = Sizes(cumulative.shape[0] - 1, call["max_q"], call["max_k"], query.shape[1], key.shape[-2], query.shape[2])
    grouped = _grouped(sizes)
    return () if sliding or grouped is sizes else split_accumulators(grouped, call.target)


@entry(
    "flash backward",
    "aten._scaled_dot_product_flash_attention_backward.default",
    "aten._flash_attention_backward.default",
)
def flash_backward(call: Call) -> tuple[Hidden, ...]:
    """
    Row sums, the gradient of the queries in fp32, gradients of keys and values for each query head, packed copies.

    Formula:    4 B · B · N · ceil128(Tq) · (ceil32(H) + 1), ceil64 above H = 128; deterministic: the gradient ceil(SMs / (B · N)) times;
                if K < N: 2 · B · Tk · N · H · itemsize; copies of dO and O that are not packed; packed sequences: ΣTq + 128 · B rows
    Source:     torch aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_bwd, mha_varlen_bwd (main, 2026);
                attention_backward.cu, _flash_attention_backward
    Exactness:  exact
    Ignores:    FA3, if it is registered; torch before 2.8 rounds to 32 above H = 128 too
    """
    query, key, heads_lead = call["query"], call["key"], "scaled" in call.operator
    if query.dim() == 3:
        sequences = call["cum_seq_q"].shape[0] - 1
        (tokens, heads, width), (keys, kv_heads, _) = query.shape, key.shape
        sizes = Sizes(1, tokens, keys, heads, kv_heads, width)
        rows, parallel = tokens + ROWS * sequences, sequences * heads
    else:
        sizes = heads_first(query, key) if heads_lead else tokens_first(query, key)
        rows, parallel = sizes.batch * round_up(sizes.queries, ROWS), sizes.batch * sizes.heads
    times = ceil_div(call.target.sms, parallel) if call.target.deterministic else 1
    order = TOKENS_FIRST if heads_lead else ()
    copies = [copied(call[name], order) for name in ("grad_out", "out")]
    expanded = sizes.batch * sizes.keys * sizes.heads * sizes.width * query.element_size()
    return (
        *(Hidden(size, "gradient or output, packed", before=True) for size in copies if size),
        Hidden(rows * sizes.heads * FLOAT, "row sums"),
        Hidden(times * rows * sizes.heads * padded_width(sizes.width) * FLOAT, "gradient of queries in fp32"),
        *([Hidden(expanded, "gradient of keys or values per query head")] * (2 if sizes.kv_heads < sizes.heads else 0)),
    )


ENTRIES = (flash_forward, flash_backward)
