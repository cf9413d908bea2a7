"""
What a served model keeps of the tokens it has seen.

Letters: B sequences, T tokens per sequence, K KV heads, H head dim, L layers.
"""

from collections.abc import Iterator

from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.layer import Attention, LatentAttention, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.run import ServeRun

FP32 = 4


def kv_cache(model: ModelSpec, run: ServeRun) -> Term:
    """
    Bytes of key and value cache for `run.max_num_seqs` sequences of `run.max_model_len` tokens.

    Formula:  B · Σ_layers min(T, window) · K · (H + H_v) · itemsize; a latent layer keeps kv_rank + rope_dim per token,
              an indexer its own key (index_dim), a layer that shares an earlier one's nothing
    Source:   arXiv:1911.02150, arXiv:2305.13245, arXiv:2405.04434; layout checked against transformers 5.23 DynamicCache.
    Ignores:  block rounding of paged caches.

    A sliding-window layer keeps `window` tokens, not T: do not multiply by L.
    """
    elements: dict[str, int] = {}
    for mixer, count in _mixers(model):
        label, per_sequence = _token_cache(mixer, run.max_model_len)
        if per_sequence:
            elements[label] = elements.get(label, 0) + count * per_sequence
    parts = tuple(
        Part(label, f"q·B·{label}", run.kv_format.bytes_for(numel * run.max_num_seqs))
        for label, numel in elements.items()
    )
    return Term(
        bytes=sum(part.bytes for part in parts),
        category=Category.KV_CACHE,
        label=f"key and value cache ({run.kv_format.label})",
        phase=Phase.RESIDENT,
        formula="q·B·Σ_layers min(T, window)·2·K·H",
        values=(
            ("q", run.kv_format.bytes_per_value),
            ("B", run.max_num_seqs),
            ("T", run.max_model_len),
            ("Σ_layers min(T, window)·2·K·H", sum(elements.values())),
        ),
        source="arXiv:1911.02150, arXiv:2305.13245, arXiv:2405.04434; transformers 5.23 DynamicCache",
        ignores="block rounding of paged caches",
        parts=parts,
    )


def _mixers(model: ModelSpec) -> Iterator[tuple[Mixer, int]]:
    for run in model.layers:
        for mixer in run.layer.mixers:
            yield mixer, run.count


def _token_cache(mixer: Mixer, tokens: int) -> tuple[str, int]:
    """How a layer's cache is counted, and its elements for one sequence of `tokens`."""
    match mixer:
        case Attention():
            kept = min(tokens, mixer.window or tokens)
            own = 0 if mixer.shares_kv else mixer.key_width + mixer.value_width
            label = "L_global·T·2·K·H" if mixer.window is None else "L_window·min(T, window)·2·K·H"
            return label, kept * (own + mixer.index_dim)
        case LatentAttention():
            kept = min(tokens, mixer.window or tokens)
            own = 0 if mixer.shares_kv else mixer.kv_rank + mixer.rope_dim
            return "L·T·(kv_rank + rope)", kept * (own + mixer.index_dim)
        case CompressedAttention():
            return "L·(window + T/rate)", mixer.cache_elements(tokens)
        case StateSpace() | LinearAttention():
            return "", 0


def growing_cache(model: ModelSpec, run: ServeRun) -> Term:
    """
    The second copy of one layer's keys that a growing cache makes when it appends a token.

    Formula:  q · B · max_layers min(T, window) · K · H
    Source:   transformers 5.23 cache_utils.py (DynamicLayer concatenates); a static cache needs none.
    """
    widest = max(
        (
            min(run.max_model_len, mixer.window or run.max_model_len) * max(mixer.key_width, mixer.value_width)
            for mixer, _ in _mixers(model)
            if isinstance(mixer, Attention) and not mixer.shares_kv
        ),
        default=0,
    )
    return Term(
        bytes=run.kv_format.bytes_for(widest * run.max_num_seqs),
        category=Category.TEMPORARY,
        label="one layer's keys, copied as the cache grows",
        phase=Phase.DECODE,
        formula="q·B·min(T, window)·K·H",
        values=(("q", run.kv_format.bytes_per_value), ("B", run.max_num_seqs), ("min(T, window)·K·H", widest)),
        source="transformers 5.23 cache_utils.py",
    )


def recurrent_state(model: ModelSpec, run: ServeRun) -> Term | None:
    """
    Bytes of recurrent states and convolution tails, which do not grow with T.

    Formula:  B · Σ_layers (state · s_state + conv · s)
    Source:   transformers 5.23 cache classes of each family.
    """
    item = _itemsize(run.kv_format)
    size = sum(
        count * (mixer.state_elements * (FP32 if mixer.state_fp32 else item) + mixer.conv_elements * item)
        for mixer, count in _mixers(model)
        if isinstance(mixer, StateSpace | LinearAttention)
    )
    if not size:
        return None
    return Term(
        bytes=size * run.max_num_seqs,
        category=Category.KV_CACHE,
        label="recurrent states and convolution tails",
        phase=Phase.RESIDENT,
        formula="B·Σ_layers (state + conv)",
        values=(("B", run.max_num_seqs), ("Σ_layers (state + conv)", size)),
        source="transformers 5.23 cache classes",
    )


def _itemsize(number_format: NumberFormat) -> int:
    """Bytes of an element that is kept at its own precision: states are never stored in fewer than 16 bits."""
    return max(2, number_format.storage_bits // 8)
