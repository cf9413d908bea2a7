"""A whole block in forward order, as segments."""

from dataclasses import replace
from functools import lru_cache

from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.layer import (
    Attention,
    Dense,
    LatentAttention,
    Layer,
    MixtureOfExperts,
)
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.rules.saved.attention import attention_segment
from vramcast.rules.saved.feed_forward import dense_segment
from vramcast.rules.saved.mixture import mixture_segment
from vramcast.rules.saved.norms import norm_saved
from vramcast.rules.saved.ops import Segment
from vramcast.rules.saved.recurrent import recurrent_segment
from vramcast.rules.sizes import Sizes


@lru_cache(maxsize=1024)
def block_segments(layer: Layer, sizes: Sizes, masked: bool, recomputed: bool) -> tuple[Segment, ...]:
    """
    The segments of one block: norms with the mixer, norms with the feed-forward part.

    A recomputed block's input is kept apart, so its first norm does not count it again.

    Ignores: what `Layer.extra` computes (layer scales, per-layer inputs).
    """
    segments = [segment for segment in (_mixer(layer, sizes, masked), _ffn(layer, sizes)) if segment is not None]
    first = len(layer.norms) if len(segments) == 1 else (len(layer.norms) + 1) // 2
    norms = [norm_saved(n, sizes, sizes.stream, held=recomputed and i == 0) for i, n in enumerate(layer.norms)]
    groups = (norms[:first], norms[first:])
    return tuple(
        replace(segment, saved=(*(saved for norm in group for saved in norm), *segment.saved))
        for segment, group in zip(segments, groups, strict=False)
    )


def _mixer(layer: Layer, sizes: Sizes, masked: bool) -> Segment | None:
    match layer.mixer:
        case None:
            return None
        case Attention() | LatentAttention():
            return attention_segment(layer.mixer, sizes, masked=masked)
        case StateSpace() | LinearAttention():
            return recurrent_segment(layer.mixer, sizes)
        case CompressedAttention():
            raise UnsupportedError(
                "no rule says what compressed attention (DeepSeek V4) keeps for its backward pass",
                "its weights and cache can be forecast: --method serve",
            )


def _ffn(layer: Layer, sizes: Sizes) -> Segment | None:
    match layer.ffn:
        case Dense():
            return dense_segment(layer.ffn, sizes)
        case MixtureOfExperts():
            return mixture_segment(layer.ffn, sizes)
        case None:
            return None
