"""
How wide a block is while it runs without gradients.

Letters: s bytes an element, D hidden, N heads, K KV heads, H head dim, F ffn width, k experts per token.
"""

from collections.abc import Callable
from typing import NamedTuple

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace
from vramcast.domain.run import AttentionKernel
from vramcast.domain.weights import WeightKind
from vramcast.rules.attention_kernel import head_dims, is_masked, resolve_attention

FP32 = 4
HELD_BEFORE = 3  # the model's input, the block's input, the normed input
HELD_BEHIND = 4  # the same, and what attention has added


class Width(NamedTuple):
    """Bytes at one moment of a block, for each token that is read, each token in the cache, and each pair of both."""

    name: str
    token: int
    key: int = 0
    pair: int = 0

    def bytes(self, tokens: int, cached: int, pairs: int) -> int:
        """The moment's bytes in a pass."""
        return tokens * self.token + cached * self.key + pairs * self.pair


class Reading(NamedTuple):
    """What decides about kernels: the wish, the device, the item size, tokens of a sequence, whether one token is read."""

    asked: AttentionKernel
    capability: tuple[int, int] | None
    itemsize: int
    seq_len: int
    single: bool


def block_widths(layer: Layer, hidden: int, reading: Reading) -> tuple[tuple[Mixer | None, Width], ...]:
    """
    The moments of one block that can be its widest, each with the mixer whose cache it reads, if it does.

    Formula:  norm 3·s·D + 2·4·D (FP32 input and its square; s·D more where it was half)
              gated MLP 4·s·D + s·3·F (activated gate, up, product); plain 4·s·D + s·2·F
              experts 4·s·D + s·k·(D + 4·F) (gathered input, gate and up, activated gate, product); plain s·k·(D + 2·F)
    Source:   transformers 5.23 modeling_llama.py, integrations/moe.py (grouped_mm); live storages of real passes.
    Ignores:  position tables, router scores, activations written out in Python, what `Layer.extra` computes.
    """
    s = reading.itemsize
    found: list[tuple[Mixer | None, Width]] = [(None, Width("norm", HELD_BEFORE * s * hidden + 2 * FP32 * hidden))]
    for mixer in layer.mixers:
        found.extend((mixer, width) for width in _mixing(mixer, HELD_BEFORE * s * hidden, reading))
    held = HELD_BEHIND * s * hidden
    match layer.ffn:
        case Dense():
            found.append((None, Width("MLP", held + s * (3 if layer.ffn.gated else 2) * layer.ffn.width)))
        case MixtureOfExperts():
            visited = layer.ffn.top_k * (hidden + (4 if layer.ffn.gated else 2) * layer.ffn.width)
            found.append((None, Width("experts", held + s * visited)))
        case None:
            pass
    return tuple(found)


def _mixing(mixer: Mixer, held: int, reading: Reading) -> tuple[Width, ...]:
    s = reading.itemsize
    match mixer:
        case Attention():
            return (*_turning(mixer, held, s), _attending(mixer, held + s * mixer.query_width, reading))
        case LatentAttention():
            query, expanded = 2 * mixer.query_width, mixer.heads * (mixer.nope_dim + mixer.value_dim)
            width = _attending(mixer, held + s * query, reading)
            return (width._replace(key=width.key + s * (expanded + mixer.query_width)),)
        case LinearAttention(variant=LinearKind.MLSTM):
            projected = sum(w.shape[0] for w in mixer.parts if w.kind is WeightKind.LINEAR)
            return (Width(f"recurrent layer ({mixer.variant})", held + s * projected),)
        case StateSpace() | LinearAttention():
            return (Width(f"recurrent layer ({mixer.variant})", held + s * mixer.saved_elements_per_token),)
        case CompressedAttention():
            return (Width("compressed attention", held + s * 3 * mixer.query_width),)


def _turning(mixer: Attention, held: int, s: int) -> tuple[Width, ...]:
    """
    Rotary embeddings and norms of query and key, before this layer's keys and values of the pass are in the cache.

    Formula:  s·max(4·N + 2·K, 2·N + 5·K)·H: query, key and value and three tensors on the way to the turned one;
              norm s·N·H + 2·4·N·H; each less 2·s·K·H, the keys and values that the cache counts and does not hold yet
    """
    query, key = mixer.query_width, mixer.key_width
    widths = []
    if mixer.rotary:
        widths.append(Width("rotary embeddings", held + s * max(4 * query, 2 * query + 3 * key)))
    if mixer.qk_norms:
        widths.append(Width("norm of the query", held + (s + 2 * FP32) * query - 2 * s * key))
    return tuple(widths)


def _attending(mixer: Attention | LatentAttention, held: int, reading: Reading) -> Width:
    """
    Inside the kernel.

    Formula:  flash, cuDNN, efficient: s·N·H_v (output); where heads are grouped and a mask is passed, for each cached token
              s·N·(H + H_v) (repeated keys and values), and s a pair (the mask in the query's type)
              eager: repeated s·N·(H + H_v); a pair s·N (scores) + 2·4·N (FP32 copy and softmax; s = 4: 4·N)
              math: 2·4·N·H (FP32 query, scaled); 4·N·(2·H + H_v) (FP32 keys, scaled, values); 2·4·N a pair
    Source:   transformers 5.23 sdpa_attention.py (pack_gqa: a single query token needs no repeated heads), eager code; aten
              attention.cpp.
    """
    s = reading.itemsize
    key_dim, value_dim = head_dims(mixer)
    heads, grouped = mixer.heads, isinstance(mixer, Attention) and mixer.kv_heads < mixer.heads
    repeated = s * heads * (key_dim + value_dim) if grouped else 0
    kernel = resolve_attention(reading.asked, mixer, reading.seq_len, s, reading.capability)
    name = f"attention ({kernel})"
    match kernel:
        case AttentionKernel.EAGER:
            return Width(name, held, repeated, (s + (2 * FP32 if s < FP32 else FP32)) * heads)
        case AttentionKernel.MATH:
            keys = FP32 * heads * (2 * key_dim + value_dim)
            return Width(name, held + 2 * FP32 * heads * key_dim, keys, 2 * FP32 * heads)
        case _:
            copied = is_masked(mixer, reading.seq_len) and kernel is not AttentionKernel.FLASH and not reading.single
            return Width(name, held + s * heads * value_dim, repeated if copied else 0, s if copied else 0)


def mask_bytes(model: ModelSpec, reading: Reading, pairs: Callable[[int | None], int]) -> int:
    """
    Bytes of the attention masks that a pass makes once for all layers; `pairs` counts those of a layer with this window.

    Formula:  s a pair and pattern (full, and each window) for eager attention; 1 a pair for each window that the sequence
              fills where SDPA chooses the kernel; none for kernels that know their patterns themselves
    Source:   transformers 5.23 masking_utils.py (eager_mask, sdpa_mask, _ignore_causal_mask_sdpa).
    """
    mixers = (mixer for run in model.layers for mixer in run.layer.mixers)
    windows = {mixer.window for mixer in mixers if isinstance(mixer, Attention | LatentAttention)}
    match reading.asked:
        case AttentionKernel.EAGER:
            return reading.itemsize * sum(map(pairs, windows))
        case AttentionKernel.SDPA:
            return sum(pairs(window) for window in windows if window is not None and window <= reading.seq_len)
        case _:
            return 0
