"""
A language model as numbers: sizes and layers, nothing loaded.

Letters: Φ parameters, L layers, D hidden, V vocabulary.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from vramcast.domain.layer import Layer, LayerRun
from vramcast.domain.norm import Norm
from vramcast.domain.weights import Weight, WeightKind

MOST_PARAMETERS = 10**15  # a thousand trillion: above it lies nonsense


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Probabilities that the config sets for training; above zero, each keeps a mask of one byte an element."""

    embedding: float = 0.0
    attention: float = 0.0
    residual: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """
    Vocabulary, hidden size, head and layers of a decoder-only model.

    Attributes:
        name: what the user called it; model_type: the architecture's name in transformers.
        layers: run-length encoded, in order; `iter_layers()` spells them out.
        positions: rows of a learned position table (0: none, rotary or alibi).
        embedding_size: width of the token embedding where it differs from `hidden_size`.
        extra: parameters outside the blocks that only this architecture has.
        dtype: the checkpoint's own number format; quantized: that of its experts (and linears), where it stores them in fewer
            bits.
        stored: bytes by number format, as safetensors headers state them; empty when only a config was read.
        bare_parameters: set when only a size such as `8B` is known (see `bare_model`).
        logits_upcast, logits_capped: the model itself turns the logits to FP32, or caps them, before the loss sees them.
        source: where the facts come from.
        notes: what the reader left out, for the answer's list of what is not modelled.
    """

    name: str
    model_type: str
    hidden_size: int
    vocab_size: int
    layers: tuple[LayerRun, ...]
    tied_head: bool = False
    head_bias: bool = False
    final_norm: Norm | None = None
    embedding_norm: Norm | None = None
    positions: int = 0
    embedding_size: int | None = None
    dropout: Dropout = Dropout()
    max_positions: int | None = None
    dtype: str = "bf16"
    quantized: str | None = None
    extra: tuple[Weight, ...] = ()
    stored: tuple[tuple[str, int], ...] = ()
    bare_parameters: int | None = None
    logits_upcast: bool = False
    logits_capped: bool = False
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def num_layers(self) -> int:
        """L."""
        return sum(run.count for run in self.layers)

    def iter_layers(self) -> Iterator[Layer]:
        """The layers one by one, in order."""
        for run in self.layers:
            for _ in range(run.count):
                yield run.layer

    @cached_property
    def outer_weights(self) -> tuple[Weight, ...]:
        """Parameter tensors outside the blocks: embeddings, final norm, head, extras; none of a bare model."""
        if self.bare_parameters is not None:
            return ()
        width = self.embedding_size or self.hidden_size
        weights = [Weight("embed_tokens", (self.vocab_size, width), WeightKind.EMBEDDING)]
        if self.positions:
            weights.append(Weight("embed_positions", (self.positions, self.hidden_size), WeightKind.EMBEDDING))
        for norm in (self.embedding_norm, self.final_norm):
            weights.extend(norm.weights if norm else ())
        if not self.tied_head:
            weights.append(Weight("lm_head", (self.vocab_size, width), WeightKind.HEAD))
        if self.head_bias:
            weights.append(Weight("lm_head.bias", (self.vocab_size,), WeightKind.BIAS))
        return (*weights, *self.extra)

    @cached_property
    def layer_weights(self) -> tuple[tuple[LayerRun, tuple[Weight, ...]], ...]:
        """Each run of equal layers with the parameter tensors of one of them."""
        return tuple((run, run.layer.weights(self.hidden_size)) for run in self.layers)

    @cached_property
    def weights(self) -> tuple[Weight, ...]:
        """Every parameter tensor of the model; equal ones are counted together."""
        outer = ((1, self.outer_weights),)
        return _counted((*outer, *((run.count, weights) for run, weights in self.layer_weights)))

    @cached_property
    def linears(self) -> tuple[Weight, ...]:
        """
        The matrices of linear layers, the output head's left out: what is quantised, and what adapters can target.

        Matrices that several layers share are left out too: transformers keeps tied ones from quantisation.
        """
        return tuple(weight for weight in self.weights if weight.kind is WeightKind.LINEAR)

    @cached_property
    def parameters(self) -> int:
        """Φ, counted once where tied."""
        if self.bare_parameters is not None:
            return self.bare_parameters
        return sum(weight.parameters for weight in self.weights)

    @cached_property
    def active_parameters(self) -> int:
        """
        Parameters that the forward pass of one token multiplies.

        Formula:  Φ - (tables that are only looked up) - Σ_layers (experts not visited)
        A mixture counts top_k of its experts, its router and its shared experts. The token table counts where the
        output head is tied to it; published figures sometimes count it in any case.
        """
        if self.bare_parameters is not None:
            return self.bare_parameters
        width = self.embedding_size or self.hidden_size
        looked_up = self.positions * self.hidden_size + (0 if self.tied_head else self.vocab_size * width)
        looked_up += sum(weight.parameters for weight in self.extra if weight.kind is WeightKind.EMBEDDING)
        idle = sum(run.count * run.layer.idle_parameters(self.hidden_size) for run in self.layers)
        return self.parameters - looked_up - idle


def bare_model(
    name: str, parameters: int, *, dtype: str = "bf16", stored: tuple[tuple[str, int], ...] = ()
) -> ModelSpec:
    """
    A model of which only Φ is known, and perhaps how its checkpoint is stored.

    It has no layers, no weights, and hidden and vocabulary size 0. So it answers the terms that are multiples of Φ
    (parameters, gradients, optimizer states); whatever depends on shapes (activations, logits, KV cache, adapters,
    quantisation scales) must be reported as not modelled, not as zero.
    """
    return ModelSpec(
        name=name,
        model_type="",
        hidden_size=0,
        vocab_size=0,
        layers=(),
        dtype=dtype,
        stored=stored,
        bare_parameters=parameters,
    )


def _counted(groups: Iterable[tuple[int, tuple[Weight, ...]]]) -> tuple[Weight, ...]:
    counts: dict[Weight, int] = {}
    for times, weights in groups:
        for weight in weights:
            one = Weight(weight.name, weight.shape, weight.kind)
            counts[one] = counts.get(one, 0) + weight.count * times
    return tuple(Weight(w.name, w.shape, w.kind, count) for w, count in counts.items())


def run_length(layers: Iterable[Layer]) -> tuple[LayerRun, ...]:
    """Run-length encoding of `layers`; `run_length(model.iter_layers()) == model.layers`."""
    return as_one(LayerRun(layer, sum(1 for _ in group)) for layer, group in groupby(layers))


def as_one(runs: Iterable[LayerRun]) -> tuple[LayerRun, ...]:
    """The same runs, equal layers made one object, so that whoever works on layers can tell each kind by identity."""
    one: dict[Layer, Layer] = {}
    return tuple(LayerRun(one.setdefault(run.layer, run.layer), run.count) for run in runs)
