"""
Attention over a short window and a compressed past (DeepSeek V4).

Letters: N heads, H head dim, T tokens per sequence.
"""

from dataclasses import dataclass

from vramcast.domain.weights import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """
    One key head that is also the value: the last `window` tokens whole, older ones pooled `rate` to an entry.

    `rate` is None in a layer that sees its window only. `index_dim` is the width of the entry that a sparse-attention
    indexer keeps beside each pooled one (0: no indexer). `parts` are the weights, as the reader found them.
    Source: layout checked against the cache of transformers 5.23 (`deepseek_v4`).
    Ignores: the buffers that hold up to `rate` tokens until they are pooled.
    """

    heads: int
    head_dim: int
    window: int
    rate: int | None = None
    index_dim: int = 0
    sinks: bool = True
    parts: tuple[Weight, ...] = ()

    @property
    def query_width(self) -> int:
        """N · H."""
        return self.heads * self.head_dim

    @property
    def out_width(self) -> int:
        """N · H: what the output projection reads."""
        return self.query_width

    def cache_elements(self, tokens: int) -> int:
        """Cached elements of one sequence of T tokens: min(T, window) · H + ⌊T / rate⌋ · (H + index_dim)."""
        pooled = tokens // self.rate if self.rate else 0
        return min(tokens, self.window) * self.head_dim + pooled * (self.head_dim + self.index_dim)

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """The weights as read."""
        return self.parts
