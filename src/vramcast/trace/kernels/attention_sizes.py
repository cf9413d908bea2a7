"""Sizes of one call of attention."""

from typing import NamedTuple

from torch import Tensor

FLOAT = 4
TOKENS_FIRST = (0, 2, 1, 3)


class Sizes(NamedTuple):
    """Tokens of queries and keys, heads of queries and keys, width of a head."""

    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    width: int


def heads_first(query: Tensor, key: Tensor) -> Sizes:
    """Sizes of [batch, heads, tokens, width]."""
    batch, heads, queries, width = query.shape
    return Sizes(batch, queries, key.shape[2], heads, key.shape[1], width)


def tokens_first(query: Tensor, key: Tensor) -> Sizes:
    """Sizes of [batch, tokens, heads, width]."""
    batch, queries, heads, width = query.shape
    return Sizes(batch, queries, key.shape[1], heads, key.shape[2], width)
