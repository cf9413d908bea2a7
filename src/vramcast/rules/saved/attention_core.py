"""
The inside of attention: what softmax(QKᵀ)V saves, and what its backward allocates.

Letters: B micro-batch, T tokens per sequence, N heads, K KV heads, H head dim.
"""

from dataclasses import dataclass

from vramcast.domain.family_code import Scores
from vramcast.domain.run import AttentionKernel
from vramcast.rules.saved.ops import FULL, Saved
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import Sizes

INT64 = 8


@dataclass(frozen=True, slots=True)
class Heads:
    """Widths of query, key, value and output per token; `packed`: the query lies heads before tokens."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    masked: bool
    softcap: bool
    packed: bool
    scores: Scores = Scores.SOFTMAX_FP32
    sinks: bool = False

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

    @property
    def grouped(self) -> bool:
        """Fewer KV heads than heads."""
        return self.kv_heads < self.heads


def attended(tape: Tape, heads: Heads, query: Value, key: Value, value: Value) -> Value:
    """
    What the output projection reads; query, key, value as the kernel keeps them and its own tensors go on the tape.

    Formula:  flash, cuDNN: query, key, value themselves + s·N·H (output) + 4·N (log-sum-exp)
              (+ s·N·H: the output once more with tokens before heads, where the query lay heads before tokens)
              efficient, cuDNN: the same, with key and value repeated for every head where there is a mask, + s·T (the mask
              in the query's type, per layer)
              eager: 3·s·N·H (copies for the matrix product) + (4 + s)·N·T (softmax in FP32 and its copy)
              + s·N·T (capped scores); as-run: no copy in FP32; fp32: query and key in FP32; with dropout one more copy and 1·N·T (the mask)
              math: 4·N·(H + H + H) (FP32 query, key, value) + 4·N·T (softmax)
              recomputed core: query, key and value alone
    Source:   torch derivatives.yaml (scaled_dot_product_*_attention), flash_api.cpp (the output lies as the query does);
              aten attention.cpp (math, mask conversion); transformers 5.23 eager_attention_forward, sdpa_attention.py.
    Ignores:  random states (512 B), split-KV accumulators of short batches, heads padded to a multiple of 8, and that with
              B = 1 eager attention needs no copies of views.
    """
    sizes = tape.sizes
    out = Value(heads.out, sizes.core, "N·H")
    parts = tuple(part.cast(sizes.core) for part in (query, key, value))
    if query.leaf and key.leaf and value.leaf:
        out.leaf = True
        return out
    if sizes.selective:
        _keep_parts(tape, parts)
        return out
    match sizes.attention:
        case AttentionKernel.EAGER:
            size = FULL if heads.scores is Scores.FP32 and not sizes.autocast else sizes.core
            _repeated(tape, size, "copied", (heads.query, heads.query, 0))
            _repeated(tape, sizes.core, "copied", (0, 0, heads.out))
            _scores(tape, heads)
        case AttentionKernel.MATH:
            _repeated(tape, FULL, "scaled, in FP32", (heads.query, heads.query, heads.out))
            tape.keep(Value(0, FULL, "N", pairs=heads.heads), "softmax in FP32", core=True)
        case AttentionKernel.EFFICIENT | AttentionKernel.CUDNN:
            if heads.masked and heads.grouped:
                _keep_parts(tape, parts[:1])
                _repeated(tape, sizes.core, "repeated", (0, heads.query, heads.out))
            else:
                _keep_parts(tape, parts)
            if heads.masked:
                tape.keep(Value(0, sizes.core, "1", pairs=1), "mask in the query's type", core=True)
            _output(tape, heads, out)
            return out.like() if heads.packed and sizes.attention is AttentionKernel.CUDNN else out
        case _:
            _keep_parts(tape, parts)
            _output(tape, heads, out)
            return out.like() if heads.packed else out
    return out


def _keep_parts(tape: Tape, parts: tuple[Value, ...]) -> None:
    for name, part in zip(("query", "key", "value"), parts, strict=False):
        tape.keep(part, name)


def _repeated(tape: Tape, size: int, how: str, widths: tuple[int, ...]) -> None:
    for name, width in zip(("query", "key", "value"), widths, strict=True):
        if width:
            tape.keep(Value(width, size, "N·H"), f"{name}, {how}", core=True)


def _output(tape: Tape, heads: Heads, out: Value) -> None:
    tape.keep(out, "attention output", core=True)
    tape.keep(Value(heads.heads, FULL, "N"), "log-sum-exp", core=True)


def _scores_with_sinks(tape: Tape, heads: Heads) -> None:
    """
    A softmax over T + 1 columns, which runs in the run's format, less its largest; autocast joins scores and sinks in FP32.

    Formula:  8·N (where the largest is) + s·N·(T + 1) (+ 2·N·T, a copy for the matrix product under autocast over FP32
              weights)
    Source:   transformers 5.23 modeling_gpt_oss.py (eager_attention_forward).
    """
    sizes, n = tape.sizes, heads.heads
    tape.note(Saved("index of the largest score", f"{INT64}·N", INT64 * n, core=True))
    softmax = Value(n, max(sizes.core, sizes.stream), "N", pairs=n)
    tape.keep(softmax, "softmax with sinks", core=True)
    weights = softmax if softmax.size == sizes.core else Value(0, sizes.core, "N", pairs=n)
    if sizes.dropout.attention > 0:
        tape.note(Saved("attention dropout mask", "N·T", 0, n, core=True))
        weights = Value(0, sizes.core, "N", pairs=n)
    tape.keep(weights, "attention weights", core=True)


def _scores(tape: Tape, heads: Heads) -> None:
    s, n, dropout = tape.sizes.core, heads.heads, tape.sizes.dropout.attention > 0
    if heads.sinks:
        _scores_with_sinks(tape, heads)
        return
    half = heads.scores is Scores.AS_RUN and not tape.sizes.autocast
    softmax = Value(0, s if half else FULL, "N", pairs=n)
    if heads.softcap:
        tape.keep(Value(0, s, "N", pairs=n), "capped scores", core=True)
    tape.keep(softmax, "softmax" if half else "softmax in FP32", core=True)
    weights = softmax.cast(s)
    if dropout:
        tape.note(Saved("attention dropout mask", "N·T", 0, n, core=True))
        weights = weights.like()
    tape.keep(weights, "attention weights", core=True)


def _softmax_backward(heads: Heads, sizes: Sizes) -> int:
    """Bytes per token pair and head while softmax runs backward, beyond what attention keeps."""
    softmax = sizes.core if heads.scores is Scores.AS_RUN and not sizes.autocast else FULL
    dropped = sizes.dropout.attention > 0
    weights = sizes.core + 1 if dropped else sizes.core if sizes.core != softmax else 0
    return 3 * softmax - weights


def core_forward(heads: Heads, kernel: AttentionKernel, sizes: Sizes) -> int:
    """
    Bytes per token pair, beyond what attention keeps, while softmax runs: what it reads, and writes.

    Formula:  eager: N·(s + 4 + 4) (scores, their FP32 copy, softmax); N·(4 + 4) where the mask is FP32, and so the scores;
              N·2·s where softmax runs in the run's format; math: N·(4 + 4); each less what is kept
    Source:   transformers 5.23 eager_attention_forward; aten SoftMax.cpp (softmax with a dtype copies BF16 first).
    """
    if kernel not in (AttentionKernel.EAGER, AttentionKernel.MATH):
        return 0
    if kernel is AttentionKernel.MATH:
        return FULL * heads.heads
    s = sizes.core
    kept = s if heads.scores is Scores.AS_RUN and not sizes.autocast else FULL + (s if s < FULL else 0)
    half = s < FULL and sizes.stream == s
    read = s if kept == s else FULL + (s if half else 0)
    return heads.heads * max(read + (s if kept == s else FULL) - kept, 0)


def core_backward(heads: Heads, kernel: AttentionKernel, sizes: Sizes) -> tuple[int, int]:
    """
    Bytes per token, and per token pair, that the kernel's backward allocates: gradients of query, key and value, and its own
    accumulators.

    Formula:  flash: s·(N + 2K)·H + 4·N·⌈H⌉₃₂ (dQ accumulator) + 4·N (+ 2·s·N·H for grouped heads)
              cuDNN: s·(N + 2K)·H + 4·N·H + 4·N (+ 2·s·N·H)
              efficient: s·3·N·H + 4·N·H + 4·N (+ s·2·K·H, the repeated heads' sums)
              eager, math: 3·4·N·T (softmax's gradient in and out, their product; 3·s·N·T where softmax runs in the run's
              format), less the weights, and dropout's mask and copy, freed by then; the gradient of the value takes the
              place of its copy
    Source:   torch flash_api.cpp mha_bwd, attention_backward.cu, cudnn-frontend scaled_dot_product_flash_attention.h,
              aten SoftMax.cu (grad · output).
    Ignores:  cuDNN's own internal workspace, T rounded up to 128.
    """
    s, n = sizes.core, heads.heads
    qkv = s * (heads.query + heads.key + heads.kv_heads * heads.value_dim)
    everywhere = s * (2 * heads.query + heads.out)
    match kernel:
        case AttentionKernel.EAGER:
            return 0, n * _softmax_backward(heads, sizes)
        case AttentionKernel.MATH:
            return 0, n * 3 * FULL
        case AttentionKernel.EFFICIENT:
            return everywhere + FULL * (heads.query + n) + (qkv - s * heads.query if heads.grouped else 0), 0
        case _:
            rounded = heads.key_dim if kernel is AttentionKernel.CUDNN else -(-heads.key_dim // 32) * 32
            expanded = s * (heads.query + heads.out) if heads.grouped else 0
            return qkv + FULL * n * (rounded + 1) + expanded, 0
