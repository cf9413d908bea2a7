"""
The inside of attention: what softmax(QKᵀ)V saves, and what its backward allocates.

Letters: B micro-batch, T tokens per sequence, N heads, K KV heads, H head dim.
"""

from dataclasses import dataclass

from vramcast.domain.run import AttentionKernel
from vramcast.rules.saved.ops import FULL, Saved
from vramcast.rules.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Heads:
    """Widths of query, key, value and output per token, and what they are views of."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    masked: bool
    softcap: bool

    @property
    def query(self) -> int:
        """N · H."""
        return self.heads * self.key_dim

    @property
    def key(self) -> int:
        """K · H."""
        return self.kv_heads * self.key_dim

    @property
    def out(self) -> int:
        """N · (value dim)."""
        return self.heads * self.value_dim

    def copies(self, kernel: AttentionKernel) -> tuple[bool, bool]:
        """Whether the kernel saves copies in place of query, and in place of key and value."""
        math = kernel is AttentionKernel.MATH
        repeats = kernel is AttentionKernel.EAGER or (kernel is AttentionKernel.EFFICIENT and self.masked)
        return math, math or (self.grouped and repeats)

    @property
    def grouped(self) -> bool:
        """Fewer KV heads than heads."""
        return self.kv_heads < self.heads


def core_saved(heads: Heads, kernel: AttentionKernel, sizes: Sizes) -> tuple[Saved, ...]:
    """
    What the kernel keeps beyond query, key and value themselves.

    Formula:  flash, cuDNN: s·N·H (output) + 4·N (log-sum-exp)
              efficient: the same, + 2·s·N·H where KV heads were repeated, + s·T (the mask in the query's type, per layer)
              eager: 2·s·N·H (repeated KV) + (4 + s)·N·T (softmax in FP32 and its copy; with dropout 1·N·T for the mask)
              math: 4·N·(H + H + H) (FP32 query, key, value) + 4·N·T (softmax), output s·N·H
    Source:   torch derivatives.yaml (scaled_dot_product_*_attention); aten attention.cpp (math, mask conversion);
              transformers 5.23 eager_attention_forward.
    Ignores:  random states (512 B), split-KV accumulators of short batches.
    """
    s = sizes.core
    out = Saved("attention output", f"{s}·N·H", s * heads.out)
    lse = Saved("log-sum-exp", f"{FULL}·N", FULL * heads.heads)
    repeated = Saved("repeated keys and values", f"{s}·N·(H+H)", s * (heads.query + heads.out), core=True)
    match kernel:
        case AttentionKernel.EAGER:
            return (*((repeated,) if heads.grouped else ()), *_scores(heads, sizes))
        case AttentionKernel.MATH:
            size = FULL * (2 * heads.query + heads.out)
            inputs = Saved("scaled query, key and value in FP32", f"{FULL}·3·N·H", size, core=True)
            scores = Saved("softmax in FP32", f"{FULL}·N·T", 0, FULL * heads.heads, core=True)
            return (inputs, scores, out)
        case AttentionKernel.EFFICIENT:
            mask = Saved("mask in the query's type", f"{s}·T", 0, s, core=True)
            expanded = heads.grouped and heads.masked
            return (*((repeated,) if expanded else ()), *((mask,) if heads.masked else ()), out, lse)
        case _:
            return (out, lse)


def _scores(heads: Heads, sizes: Sizes) -> tuple[Saved, ...]:
    s, n = sizes.core, heads.heads
    scores = [Saved("softmax in FP32", f"{FULL}·N·T", 0, FULL * n, core=True)]
    if s != FULL or sizes.dropout.attention > 0:
        scores.append(Saved("attention weights", f"{s}·N·T", 0, s * n, core=True))
    if sizes.dropout.attention > 0:
        scores.append(Saved("attention dropout mask", "N·T", 0, n, core=True))
    if heads.softcap:
        scores.append(Saved("capped scores", f"{s}·N·T", 0, s * n, core=True))
    return tuple(scores)


def core_backward(heads: Heads, kernel: AttentionKernel, sizes: Sizes) -> tuple[int, int]:
    """
    Bytes per token, and per token pair, that the kernel's backward allocates: gradients of query, key and value, and its own
    accumulators.

    Formula:  flash: s·(N + 2K)·H + 4·N·⌈H⌉₃₂ (dQ accumulator) + 4·N (+ 2·s·N·H for grouped heads)
              cuDNN: s·(N + 2K)·H + 4·N·H + 4·N (+ 2·s·N·H)
              efficient: s·3·N·H + 4·N·H + 4·N (+ s·2·K·H, the repeated heads' sums)
              eager: s·N·H (dV) + (3·4 - s)·N·T: softmax's gradient in and out, their product, less the weights freed by then
              math: 4·N·H + 3·4·N·T
    Source:   torch flash_api.cpp mha_bwd, attention_backward.cu, cudnn-frontend scaled_dot_product_flash_attention.h,
              aten SoftMax.cu (grad · output).
    Ignores:  cuDNN's own internal workspace, T rounded up to 128.
    """
    s, n = sizes.core, heads.heads
    qkv = s * (heads.query + heads.key + heads.kv_heads * heads.value_dim)
    everywhere = s * (2 * heads.query + heads.out)
    match kernel:
        case AttentionKernel.EAGER:
            return s * heads.out, (3 * FULL - (s if s != FULL else 0)) * n
        case AttentionKernel.MATH:
            return FULL * heads.out, 3 * FULL * n
        case AttentionKernel.EFFICIENT:
            return everywhere + FULL * (heads.query + n) + (qkv - s * heads.query if heads.grouped else 0), 0
        case _:
            rounded = heads.key_dim if kernel is AttentionKernel.CUDNN else -(-heads.key_dim // 32) * 32
            expanded = s * (heads.query + heads.out) if heads.grouped else 0
            return qkv + FULL * n * (rounded + 1) + expanded, 0
