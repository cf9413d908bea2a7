"""
What a served model keeps of the tokens it has seen.

Letters: B sequences, T tokens per sequence, K KV heads, H head dim, L layers.
"""

from collections.abc import Iterator

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Part, Phase, Term
from vramcast.domain.layer import Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.run import ServeRun

FP32 = 4


def kv_cache(model: ModelSpec, run: ServeRun, read: int = 1) -> Term:
    """
    Bytes of key and value cache for `run.max_num_seqs` sequences of `run.max_model_len` tokens.

    `read` is c, the tokens of each sequence that the last forward pass read: 1 while tokens are generated.

    Formula:  B · Σ_layers min(T, window - 1 + c) · K · (H + H_v) · itemsize; a latent layer keeps kv_rank + rope_dim per
              token, an indexer its own key (index_dim), a layer that shares an earlier one's nothing
    Source:   arXiv:1911.02150, arXiv:2305.13245, arXiv:2405.04434; transformers 5.23 cache_utils.py.
    Ignores:  block rounding of paged caches.

    A sliding-window layer keeps `window` tokens, not T: do not multiply by L. Between two passes its tensors are the last
    window - 1 tokens, a view: the storage behind them is what the last pass put together, the whole prompt after prefill.
    """
    elements: dict[str, int] = {}
    kept = "min(T, window)" if read == 1 or not _windowed(model) else "min(T, window - 1 + c)"
    for mixer, count in _mixers(model):
        label, per_sequence = _token_cache(mixer, run.max_model_len, read)
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
        formula=f"q·B·Σ_layers {kept}·2·K·H",
        values=(
            ("q", run.kv_format.bytes_per_value),
            ("B", run.max_num_seqs),
            ("T", run.max_model_len),
            *((("c", read),) if kept.endswith("c)") else ()),
            (f"Σ_layers {kept}·2·K·H", sum(elements.values())),
        ),
        source="arXiv:1911.02150, arXiv:2305.13245, arXiv:2405.04434; transformers 5.23 cache_utils.py",
        ignores="block rounding of paged caches",
        parts=parts,
    )


def held_tokens(window: int | None, tokens: int, read: int) -> int:
    """Tokens of one sequence that a layer's cache holds after a pass over `read` of them: min(T, window - 1 + c)."""
    return tokens if window is None else min(tokens, window - 1 + read)


def _mixers(model: ModelSpec) -> Iterator[tuple[Mixer, int]]:
    for run in model.layers:
        for mixer in run.layer.mixers:
            yield mixer, run.count


def _windowed(model: ModelSpec) -> bool:
    mixers = (mixer for mixer, _ in _mixers(model) if isinstance(mixer, Attention | LatentAttention))
    return any(mixer.window is not None for mixer in mixers)


def _token_cache(mixer: Mixer, tokens: int, read: int) -> tuple[str, int]:
    """How a layer's cache is counted, and its elements for one sequence of `tokens`."""
    match mixer:
        case Attention():
            own = 0 if mixer.shares_kv else mixer.key_width + mixer.value_width
            kept = "min(T, window)" if read == 1 else "min(T, window - 1 + c)"
            label = "L_global·T·2·K·H" if mixer.window is None else f"L_window·{kept}·2·K·H"
            return label, held_tokens(mixer.window, tokens, read) * (own + mixer.index_dim)
        case LatentAttention():
            own = 0 if mixer.shares_kv else mixer.kv_rank + mixer.rope_dim
            return "L·T·(kv_rank + rope)", held_tokens(mixer.window, tokens, read) * (own + mixer.index_dim)
        case CompressedAttention():
            return "L·(window + T/rate)", mixer.cache_elements(tokens)
        case StateSpace() | LinearAttention():
            return "", 0


def growing_cache(model: ModelSpec, run: ServeRun) -> Term:
    """
    What a growing cache holds twice while it appends a token to one layer.

    Formula:  q · B · max_layers of T · K · H (the old keys beside the new ones; values follow when those are gone), or
              min(T, window) · 2 · K · H in a sliding layer, which puts together both before it lets go of either
    Source:   transformers 5.23 cache_utils.py (DynamicLayer.update, DynamicSlidingWindowLayer.update concatenate).
    Ignores:  that the layers behind have not grown yet: one token each.
    """
    widest = max((_appended(mixer, run.max_model_len) for mixer, _ in _mixers(model)), default=0)
    return Term(
        bytes=run.kv_format.bytes_for(widest * run.max_num_seqs),
        category=Category.TEMPORARY,
        label="one layer's old keys beside the new ones",
        phase=Phase.DECODE,
        formula="q·B·T·K·H",
        values=(("q", run.kv_format.bytes_per_value), ("B", run.max_num_seqs), ("T·K·H", widest)),
        source="transformers 5.23 cache_utils.py",
        exactness=Exactness.MODELLED,
    )


def _appended(mixer: Mixer, tokens: int) -> int:
    match mixer:
        case Attention() if not mixer.shares_kv:
            keys, values = mixer.key_width, mixer.value_width
        case LatentAttention() if not mixer.shares_kv:
            keys, values = mixer.kv_rank, mixer.rope_dim
        case _:
            return 0
    if mixer.window is None:
        return tokens * max(keys, values)
    return held_tokens(mixer.window, tokens, 1) * (keys + values)


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
