"""
What libraries take from the allocator for themselves, and buffers of a step's own.

Letters: B micro-batch, T tokens per sequence, V vocabulary, D hidden.
"""

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.layer import Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import AttentionKernel, TrainRun
from vramcast.domain.stack import Stack
from vramcast.units import KIB, MIB

AMPERE_WORKSPACE = 8 * MIB + 128 * KIB
HOPPER_WORKSPACE = 32 * MIB
INT64 = 8
SORTED_ABOVE = 3072  # tokens above which embedding backward sorts
FP32 = 4


def gemm_workspace(device: Device | None, stack: Stack, threads: int) -> Term:
    """
    cuBLAS's workspace: one for each thread that multiplies (forward and backward have their own), kept for ever.

    torch 2.15 and later take one for each call instead.

    Formula:  threads · 8.125 MiB below compute capability 9.0, threads · 32 MiB from there on
    Source:   torch CublasHandlePool.cpp; torch/backends/cuda (2.15: caching off by default).
    Ignores:  AMD's own sizes; an unknown device is taken as one of capability 8.
    """
    capability = device.capability if device else None
    size = HOPPER_WORKSPACE if capability is not None and capability >= (9, 0) else AMPERE_WORKSPACE
    count = threads if stack.kept_workspace else 1
    return Term(
        bytes=size * count,
        category=Category.WORKSPACE,
        label="matrix-product workspace (cuBLAS)",
        phase=Phase.RESIDENT,
        formula="threads·workspace",
        values=(("threads", count), ("workspace", size)),
        source="torch CublasHandlePool.cpp",
        exactness=Exactness.EXACT if capability is not None else Exactness.MODELLED,
    )


def step_inputs(model: ModelSpec, run: TrainRun, stream: int) -> Term:
    """
    Token ids, labels, the labels as the loss shifts them, positions, and the rotary tables that all blocks share.

    Formula:  3·8·B·T + 8·T + 2·s·H·T, where H is the part of a head that is turned
    Source:   transformers 5.23 modeling_llama.py, loss_utils.py.
    Ignores:  attention masks of padded batches, a second pair of tables for local layers, heads turned in part.
    """
    head_dim = max((_turned(mixer) for layers in model.layers for mixer in layers.layer.mixers), default=0)
    return Term(
        bytes=3 * INT64 * run.tokens + INT64 * run.seq_len + 2 * stream * head_dim * run.seq_len,
        category=Category.ACTIVATIONS,
        label="inputs, labels, rotary tables",
        phase=Phase.RESIDENT,
        formula="3·8·B·T + 8·T + 2·s·H·T",
        values=(("B", run.micro_batch), ("T", run.seq_len), ("s", stream), ("H", head_dim)),
        source="transformers 5.23",
    )


def attention_masks(model: ModelSpec, run: TrainRun, asked: AttentionKernel, itemsize: int) -> Term | None:
    """
    The masks that a forward pass makes once for all layers, held until it ends; recomputed blocks hold them to the last.

    Formula:  B·T² · patterns · e: eager attention has one for each pattern (full, and each window), of numbers in the
              embedding's format; SDPA's kernels one for each window that the sequence fills, one byte a pair; flash none
    Source:   transformers 5.23 masking_utils.py (eager_mask, sdpa_mask, _ignore_causal_mask_sdpa).
    Ignores:  what each layer makes of them, which is its kernel's.
    """
    mixers = (mixer for layers in model.layers for mixer in layers.layer.mixers)
    windows = {mixer.window for mixer in mixers if isinstance(mixer, Attention | LatentAttention)}
    size, patterns = itemsize, len(windows)
    if asked is not AttentionKernel.EAGER:
        size, patterns = 1, sum(window is not None and window <= run.seq_len for window in windows)
    if asked is AttentionKernel.FLASH or not patterns:
        return None
    return Term(
        bytes=run.tokens * run.seq_len * patterns * size,
        category=Category.ACTIVATIONS,
        label="attention masks",
        phase=Phase.FORWARD,
        formula="B·T·T·patterns·e",
        values=(("B", run.micro_batch), ("T", run.seq_len), ("patterns", patterns), ("e", size)),
        source="transformers 5.23 masking_utils.py",
    )


def _turned(mixer: Mixer) -> int:
    """Elements of a head that rotary embeddings turn."""
    match mixer:
        case Attention(rotary=True):
            return mixer.head_dim
        case LatentAttention():
            return mixer.rope_dim
        case _:
            return 0


def embedding_backward(model: ModelSpec, tokens: int, itemsize: int, *, beside: bool) -> Term:
    """
    What the embedding's backward allocates.

    A dense gradient (counted here only where it lies beside a tied head's) and, for long batches, the sorted partial sums
    in FP32.

    Formula:  s·V·D (if tied) + (⌊n/10⌋ + min(n, V))·D·4 + 5·8·n, the last two where n = B·T > 3072
    Source:   torch Embedding.cu, EmbeddingBackwardKernel.cu (2.6).
    Ignores:  the radix sort's own scratch.
    """
    vocab, width = model.vocab_size, model.embedding_size or model.hidden_size
    parts = []
    if beside:
        parts.append(Part("gradient beside the tied head's", "s·V·D", itemsize * vocab * width))
    if tokens > SORTED_ABOVE:
        rows = tokens // 10 + min(tokens, vocab)
        parts.append(Part("partial sums", "(⌊n/10⌋ + min(n, V))·D·4", rows * width * FP32))
        parts.append(Part("sorted indices", "5·8·n", 5 * INT64 * tokens))
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.TEMPORARY,
        label="embedding backward",
        phase=Phase.BACKWARD,
        formula=" + ".join(part.formula for part in parts) or "0",
        values=(("s", itemsize), ("n", tokens), ("V", vocab), ("D", width)),
        source="torch EmbeddingBackwardKernel.cu",
        exactness=Exactness.MODELLED,
        parts=tuple(parts),
    )
