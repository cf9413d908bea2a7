"""The letters of the formulas: one legend for all of them."""

import re
from collections.abc import Iterable, Iterator

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.forecast import Term
from vramcast.domain.model import ModelSpec

_NAME = re.compile(r"[A-Za-zΦΣℓ][^\W²]*")
LETTERS = {
    "Φ": "parameters of the model",
    "Φ_t": "parameters that are trained",
    "Φ_q": "parameters of quantised weights",
    "Φ_rest": "parameters that are not quantised",
    "Φ_done": "parameters whose gradients exist",
    "e": "bytes of one entry of a mask",
    "patterns": "patterns of attention that need a mask: full, and each window",
    "Φ_fresh": "parameters whose gradient has just been made",
    "Φ_cast": "weights that autocast has copied",
    "Φ_8bit": "parameters with 8-bit states",
    "Φ_32bit": "parameters with 32-bit states on the device",
    "Φ_matrices": "parameters of hidden matrices",
    "Φ_others": "the other trained parameters",
    "Φ_1d": "parameters of vectors",
    "B": "sequences in one batch",
    "T": "tokens of one sequence",
    "n": "tokens of one forward pass",
    "c": "tokens that one pass reads of each sequence",
    "m": "tokens that the cache holds, over all sequences",
    "L": "layers",
    "L_global": "layers that see all tokens",
    "L_window": "layers with a sliding window",
    "ℓ": "layers before the one in backward",
    "D": "hidden size",
    "N": "attention heads",
    "K": "key and value heads",
    "H": "size of one head",
    "F": "width of the feed-forward part",
    "V": "vocabulary",
    "E": "experts of a mixture",
    "k": "experts that a token visits",
    "r": "rank of the adapters",
    "d_in": "columns of an adapted matrix",
    "d_out": "rows of an adapted matrix",
    "s": "bytes of one element",
    "w": "bytes of one element of the hidden state",
    "q": "bytes of one value, its share of the scales included",
    "a": "bytes saved for each token (the parts add up to them)",
    "a_out": "bytes saved for each token outside the blocks",
    "a_fp32": "values kept in FP32 for each token",
    "p": "bytes for each pair of tokens",
    "x": "bytes allocated for each token",
    "y": "bytes allocated whatever the batch",
    "z": "bytes allocated for each token in the cache",
    "window": "tokens that a sliding window sees",
    "rows": "rows of a matrix",
    "columns": "columns of a matrix",
    "largest": "elements of the largest tensor",
    "short": "shorter side of the largest matrix",
    "blocks": "blocks of values that share a scale",
    "chunk": "tokens of one chunk",
    "rank": "rank of the latent path",
    "kv_rank": "rank of the latent cache",
    "nope": "head size without positions",
    "rope": "head size with positions",
    "v": "head size of the values",
    "inner": "width inside the layer",
    "rate": "tokens in one compressed entry",
    "state": "recurrent state of one layer",
    "conv": "tail of the convolution of one layer",
    "threads": "threads that multiply matrices",
    "workspace": "bytes of one workspace",
    "idle": "bytes freed but of no use",
    "recorded": "bytes that were recorded",
    "storages": "storages that hold them",
    "context": "bytes of the driver's context",
    "libraries": "bytes that libraries load",
}
_WORDS = ("min", "max", "bytes", "in", "the", "headers", "header")


def letters_in(formulas: Iterable[str]) -> list[str]:
    """The letters that the formulas use, in the legend's order; sums over layers stand for themselves."""
    used = _used(formulas)
    return [letter for letter in LETTERS if letter in used]


def unknown_letters(formulas: Iterable[str]) -> set[str]:
    """Names in the formulas that the legend does not explain, and that do not explain themselves."""
    return {name for name in _used(formulas) if name not in LETTERS and name not in _WORDS and not name.startswith("Σ")}


def _used(formulas: Iterable[str]) -> set[str]:
    return {name for formula in formulas for name in _NAME.findall(formula)}


def known_values(model: ModelSpec, terms: Iterable[Term]) -> dict[str, float]:
    """Letters that have one value in all terms and all layers; a letter that varies is left out."""
    found: dict[str, set[float]] = {}
    for name, value in (*_shapes(model), *_caching(model), *(pair for term in terms for pair in term.values)):
        found.setdefault(name, set()).add(value)
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}


def _shapes(model: ModelSpec) -> Iterator[tuple[str, float]]:
    """The sizes of every layer, under their letters."""
    if not model.layers:
        return
    yield from (("L", model.num_layers), ("D", model.hidden_size), ("V", model.vocab_size))
    for run in model.layers:
        for mixer in run.layer.mixers:
            if isinstance(mixer, Attention):
                yield from (("N", mixer.heads), ("K", mixer.kv_heads), ("H", mixer.head_dim))
        match run.layer.ffn:
            case Dense(width=width):
                yield "F", width
            case MixtureOfExperts(width=width, experts=experts, top_k=chosen):
                yield from (("F", width), ("E", experts), ("k", chosen))
            case _:
                pass


def _caching(model: ModelSpec) -> Iterator[tuple[str, float]]:
    """How many layers keep keys and values of all tokens, and of a window; nothing where some keep other widths."""
    own = [
        (mixer, run.count)
        for run in model.layers
        for mixer in run.layer.mixers
        if isinstance(mixer, Attention) and not mixer.shares_kv
    ]
    if not own or any(mixer.index_dim or mixer.value_width != mixer.key_width for mixer, _ in own):
        return
    yield "L_global", sum(count for mixer, count in own if mixer.window is None)
    yield "L_window", sum(count for mixer, count in own if mixer.window is not None)
    yield from (("window", mixer.window) for mixer, _ in own if mixer.window is not None)
