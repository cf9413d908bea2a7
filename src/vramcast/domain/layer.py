"""What a block is made of: a mixer, a feed-forward part and norms, each able to list its weights."""

from dataclasses import dataclass, replace

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.family_code import Referred
from vramcast.domain.feed_forward import Ffn, MixtureOfExperts
from vramcast.domain.norm import Norm
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.weights import Weight, WeightKind

Mixer = Attention | LatentAttention | CompressedAttention | StateSpace | LinearAttention


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """
    One block: `mixer`, `ffn` (either may be absent) and its norms.

    `parallel` blocks feed the same input to attention and feed-forward part and add both (GPT-J, Falcon, Command R).
    `shares_weights` says that an earlier layer holds the mixer's, feed-forward part's and norms' weights (Zamba): they
    run again but are stored once. `lends_weights` marks that earlier layer: transformers keeps tied matrices from
    quantisation. `streams` residual streams run side by side through hyper-connections (DeepSeek V4:
    4), so the input and output of the block are that many times wider. `extra` holds what only this architecture has:
    layer scales, per-layer gates. `beside` is a second mixer that reads its own scaled copy of the same norm's output; the
    outputs of both are added (Falcon-H1). `referred` says which of attention's tensors live on behind it.
    """

    mixer: Mixer | None
    ffn: Ffn | None
    norms: tuple[Norm, ...]
    beside: Mixer | None = None
    parallel: bool = False
    shares_weights: bool = False
    lends_weights: bool = False
    streams: int = 1
    extra: tuple[Weight, ...] = ()
    referred: Referred = Referred.NOTHING

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The mixer and the one beside it, as far as there are any."""
        return tuple(mixer for mixer in (self.mixer, self.beside) if mixer is not None)

    def idle_parameters(self, hidden: int) -> int:
        """
        Parameters of the experts that one token does not visit.

        Experts in a mixer (JetMoE) are taken to be as many, and visited as often, as those of the feed-forward part.
        """
        ffn = self.ffn
        if self.shares_weights or not isinstance(ffn, MixtureOfExperts):
            return 0
        weights = (weight for mixer in self.mixers for weight in mixer.weights(hidden))
        held = sum(weight.parameters for weight in weights if weight.kind is WeightKind.EXPERTS)
        return ffn.idle_parameters(hidden) + held // ffn.experts * (ffn.experts - ffn.top_k)

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Every parameter tensor that the block stores."""
        if self.shares_weights:
            return self.extra
        mixers = tuple(weight for mixer in self.mixers for weight in mixer.weights(hidden))
        ffn = self.ffn.weights(hidden) if self.ffn else ()
        norms = tuple(weight for norm in self.norms for weight in norm.weights)
        held = (*mixers, *ffn, *norms)
        return (*(_tied(held) if self.lends_weights else held), *self.extra)


def _tied(weights: tuple[Weight, ...]) -> tuple[Weight, ...]:
    return tuple(replace(w, kind=WeightKind.SHARED) if w.kind is WeightKind.LINEAR else w for w in weights)


@dataclass(frozen=True, slots=True)
class LayerRun:
    """`count` equal layers in a row."""

    layer: Layer
    count: int
