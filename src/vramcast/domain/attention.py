"""
Attention with a cache for each token.

Letters: D hidden, N heads, K KV heads, H head dim.
"""

from dataclasses import dataclass

from vramcast.domain.family_code import Scores
from vramcast.domain.norm import Norm
from vramcast.domain.weights import Weight, WeightKind, linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """
    Multi-head, grouped-query (K < N) or multi-query (K = 1) attention.

    `window` tokens are kept by a sliding-window (or chunked) layer, all of them if None.
    `qk_norms` are the norms on query and key, if any. `fused_qkv` says that one matrix makes all three.
    `output_gate` doubles the query projection (Qwen3-Next). `shares_kv` reuses an earlier layer's keys and values:
    no key or value projection, no cache of its own. `value_is_key` drops the value projection (Gemma 4).
    `rotary` says that rotary embeddings turn query and key, `packed_rotary` that they are joined anew afterwards (a part
    stays unturned), heads before tokens. `softcap` or `sinks` change which kernels can run; `broadcast` says that SDPA is given
    fewer key heads than heads without being told that they are grouped (Falcon), which only its math takes.
    `scores` is how eager attention computes them.
    `index_dim` is the width of the key that a sparse-attention indexer caches beside keys and values (0: no indexer).
    `input_width` is what query, key and value read where it is not the hidden size (Zamba: the hidden state beside the
    embedding). `parts` are the weights as the reader found them, where they are not the usual projections (JetMoE).
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int | None = None  # per head, if it differs from head_dim
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norms: tuple[Norm, ...] = ()
    fused_qkv: bool = False
    output_gate: bool = False
    shares_kv: bool = False
    value_is_key: bool = False
    rotary: bool = True
    packed_rotary: bool = False
    scores: Scores = Scores.SOFTMAX_FP32
    softcap: bool = False
    sinks: bool = False
    broadcast: bool = False
    k_bias: bool | None = None  # where it differs from qkv_bias (Whisper-like blocks)
    index_dim: int = 0
    input_width: int | None = None
    parts: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()

    @property
    def query_width(self) -> int:
        """N · H."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """K · H."""
        return self.kv_heads * self.head_dim

    @property
    def value_width(self) -> int:
        """K · (value dim of a head)."""
        return self.kv_heads * (self.value_dim or self.head_dim)

    @property
    def out_width(self) -> int:
        """N · (value dim of a head): what the output projection reads."""
        return self.heads * (self.value_dim or self.head_dim)

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Projections, biases, query/key norms and sinks, for a model of `hidden` features; or `parts`."""
        if self.parts is not None:
            return self.parts
        query = self.query_width * (2 if self.output_gate else 1)
        keys = 0 if self.shares_kv else self.key_width
        values = 0 if self.shares_kv or self.value_is_key else self.value_width
        reads, bias = self.input_width or hidden, self.qkv_bias
        if self.fused_qkv:
            projections = linear("qkv_proj", query + keys + values, reads, bias=bias)
        else:
            projections = linear("q_proj", query, reads, bias=bias)
            if keys:
                projections += linear("k_proj", keys, reads, bias=bias if self.k_bias is None else self.k_bias)
            if values:
                projections += linear("v_proj", values, reads, bias=bias)
        norms = tuple(weight for norm in self.qk_norms for weight in norm.weights)
        sinks = (Weight("sinks", (self.heads,), WeightKind.OTHER),) if self.sinks else ()
        return (
            *projections,
            *linear("o_proj", hidden, self.out_width, bias=self.out_bias),
            *norms,
            *sinks,
            *self.extra,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """
    Multi-head latent attention (DeepSeek V2): keys and values are kept as one latent of `kv_rank` plus a shared rotary key.

    `q_rank` is None where the query has no low-rank path. `index_dim` is the width of the key that a sparse-attention
    indexer caches (DeepSeek V3.2; 0: no indexer). `parts` are the weights as the reader found them, where they are not
    the usual projections. Cache per token and layer: kv_rank + rope_dim + index_dim elements; `shares_kv` reads an
    earlier layer's latent and rotary key, so only index_dim is left (Mistral Large 4).
    Source: arXiv:2405.04434; layout checked against transformers 5.23, whose cache holds the latent.
    """

    heads: int
    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int
    bias: bool = False
    window: int | None = None
    shares_kv: bool = False
    index_dim: int = 0
    parts: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()

    @property
    def query_width(self) -> int:
        """N · (nope + rope)."""
        return self.heads * (self.nope_dim + self.rope_dim)

    @property
    def out_width(self) -> int:
        """N · value dim."""
        return self.heads * self.value_dim

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Low-rank query path (or q_proj), latent down- and up-projection, norms, output projection; or `parts`."""
        if self.parts is not None:
            return self.parts
        if self.q_rank is None:
            query = linear("q_proj", self.query_width, hidden)
        else:
            query = (
                *linear("q_a_proj", self.q_rank, hidden, bias=self.bias),
                Weight("q_a_norm", (self.q_rank,), WeightKind.NORM),
                *linear("q_b_proj", self.query_width, self.q_rank),
            )
        latent = (
            *linear("kv_a_proj", self.kv_rank + self.rope_dim, hidden, bias=self.bias),
            Weight("kv_a_norm", (self.kv_rank,), WeightKind.NORM),
        )
        return (
            *query,
            *(() if self.shares_kv else latent),
            *linear("kv_b_proj", self.heads * (self.nope_dim + self.value_dim), self.kv_rank),
            *linear("o_proj", hidden, self.out_width, bias=self.bias),
            *self.extra,
        )
