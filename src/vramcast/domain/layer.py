"""
What a block is made of: a mixer, a feed-forward part and norms, each able to list its weights.

Letters: D hidden, N heads, K KV heads, H head dim, F ffn width, E experts.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.family_code import NormCode, Routing, Scores
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.weights import Weight, WeightKind, linear


class NormKind(StrEnum):
    """RMS norm (scale only) or layer norm (scale, and a bias where the model has one)."""

    RMS = "rms"
    LAYER = "layer"


@dataclass(frozen=True, slots=True)
class Norm:
    """
    A normalisation over `width` features; `affine=False` has no parameters (OLMo 1).

    `after` says that a block's norm reads what the mixer or the feed-forward part wrote, not what they are to read.
    """

    kind: NormKind
    width: int
    bias: bool = False
    affine: bool = True
    code: NormCode = NormCode.PLAIN
    after: bool = False

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Scale and bias, each of `width` elements."""
        if not self.affine:
            return ()
        scale = Weight("norm", (self.width,), WeightKind.NORM)
        return (scale, Weight("norm.bias", (self.width,), WeightKind.NORM)) if self.bias else (scale,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """
    Multi-head, grouped-query (K < N) or multi-query (K = 1) attention.

    `window` tokens are kept by a sliding-window (or chunked) layer, all of them if None.
    `qk_norms` are the norms on query and key, if any. `fused_qkv` says that one matrix makes all three.
    `output_gate` doubles the query projection (Qwen3-Next). `shares_kv` reuses an earlier layer's keys and values:
    no key or value projection, no cache of its own. `value_is_key` drops the value projection (Gemma 4).
    `rotary` says that rotary embeddings turn query and key, `packed_rotary` that they are joined anew afterwards (a part
    stays unturned), heads before tokens. `softcap` or `sinks` change which kernels can run.
    `scores` is how eager attention computes them.
    `index_dim` is the width of the key that a sparse-attention indexer caches beside keys and values (0: no indexer).
    `input_width` is what query, key and value read where it is not the hidden size (Zamba: the hidden state beside the
    embedding). `parts` are the weights as the reader found them, where they are not the usual projections (JetMoE).
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int | None = None  # per head, if it differs from head_dim
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norms: tuple[Norm, ...] = ()
    fused_qkv: bool = False
    output_gate: bool = False
    shares_kv: bool = False
    value_is_key: bool = False
    rotary: bool = True
    packed_rotary: bool = False
    scores: Scores = Scores.SOFTMAX_FP32
    softcap: bool = False
    sinks: bool = False
    k_bias: bool | None = None  # where it differs from qkv_bias (Whisper-like blocks)
    index_dim: int = 0
    input_width: int | None = None
    parts: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()

    @property
    def query_width(self) -> int:
        """N · H."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """K · H."""
        return self.kv_heads * self.head_dim

    @property
    def value_width(self) -> int:
        """K · (value dim of a head)."""
        return self.kv_heads * (self.value_dim or self.head_dim)

    @property
    def out_width(self) -> int:
        """N · (value dim of a head): what the output projection reads."""
        return self.heads * (self.value_dim or self.head_dim)

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Projections, biases, query/key norms and sinks, for a model of `hidden` features; or `parts`."""
        if self.parts is not None:
            return self.parts
        query = self.query_width * (2 if self.output_gate else 1)
        keys = 0 if self.shares_kv else self.key_width
        values = 0 if self.shares_kv or self.value_is_key else self.value_width
        reads, bias = self.input_width or hidden, self.qkv_bias
        if self.fused_qkv:
            projections = linear("qkv_proj", query + keys + values, reads, bias=bias)
        else:
            projections = linear("q_proj", query, reads, bias=bias)
            if keys:
                projections += linear("k_proj", keys, reads, bias=bias if self.k_bias is None else self.k_bias)
            if values:
                projections += linear("v_proj", values, reads, bias=bias)
        norms = tuple(weight for norm in self.qk_norms for weight in norm.weights)
        sinks = (Weight("sinks", (self.heads,), WeightKind.OTHER),) if self.sinks else ()
        return (
            *projections,
            *linear("o_proj", hidden, self.out_width, bias=self.out_bias),
            *norms,
            *sinks,
            *self.extra,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """
    Multi-head latent attention (DeepSeek V2): keys and values are kept as one latent of `kv_rank` plus a shared rotary key.

    `q_rank` is None where the query has no low-rank path. `index_dim` is the width of the key that a sparse-attention
    indexer caches (DeepSeek V3.2; 0: no indexer). `parts` are the weights as the reader found them, where they are not
    the usual projections. Cache per token and layer: kv_rank + rope_dim + index_dim elements; `shares_kv` reads an
    earlier layer's latent and rotary key, so only index_dim is left (Mistral Large 4).
    Source: arXiv:2405.04434; layout checked against transformers 5.23, whose cache holds the latent.
    """

    heads: int
    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int
    bias: bool = False
    window: int | None = None
    shares_kv: bool = False
    index_dim: int = 0
    parts: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()

    @property
    def query_width(self) -> int:
        """N · (nope + rope)."""
        return self.heads * (self.nope_dim + self.rope_dim)

    @property
    def out_width(self) -> int:
        """N · value dim."""
        return self.heads * self.value_dim

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Low-rank query path (or q_proj), latent down- and up-projection, norms, output projection; or `parts`."""
        if self.parts is not None:
            return self.parts
        if self.q_rank is None:
            query = linear("q_proj", self.query_width, hidden)
        else:
            query = (
                *linear("q_a_proj", self.q_rank, hidden, bias=self.bias),
                Weight("q_a_norm", (self.q_rank,), WeightKind.NORM),
                *linear("q_b_proj", self.query_width, self.q_rank),
            )
        latent = (
            *linear("kv_a_proj", self.kv_rank + self.rope_dim, hidden, bias=self.bias),
            Weight("kv_a_norm", (self.kv_rank,), WeightKind.NORM),
        )
        return (
            *query,
            *(() if self.shares_kv else latent),
            *linear("kv_b_proj", self.heads * (self.nope_dim + self.value_dim), self.kv_rank),
            *linear("o_proj", hidden, self.out_width, bias=self.bias),
            *self.extra,
        )


Mixer = Attention | LatentAttention | CompressedAttention | StateSpace | LinearAttention


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """
    A feed-forward part of `width` F: gated (gate, up, down) or plain (up, down).

    `activation` is the config's word (`silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh`, `relu`, `relu2`): eager
    implementations of some of them save more than one tensor.
    """

    width: int
    gated: bool = True
    bias: bool = False
    fused_gate_up: bool = False
    activation: str = "silu"
    extra: tuple[Weight, ...] = ()

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """The two or three matrices and their biases."""
        if self.gated and self.fused_gate_up:
            first = linear("gate_up_proj", 2 * self.width, hidden, bias=self.bias)
        elif self.gated:
            first = (
                *linear("gate_proj", self.width, hidden, bias=self.bias),
                *linear("up_proj", self.width, hidden, bias=self.bias),
            )
        else:
            first = linear("up_proj", self.width, hidden, bias=self.bias)
        return (*first, *linear("down_proj", hidden, self.width, bias=self.bias), *self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureOfExperts:
    """
    A router and `experts` feed-forward parts of `width`, of which each token visits `top_k`; `shared` runs for every token.

    `fused` is how transformers 5 holds the experts: two 3-D tensors, not a list of linears. `router_bias` counts the
    gate's bias; `router_linear` says that the gate is a plain nn.Linear, which quantisers and adapters find.
    `shared_gate` is the sigmoid gate on the shared expert (Qwen2-MoE). `latent` is what the experts read and write where
    projections lead there and back (Nemotron 3); the projections are in `extra`. `zero_experts` hand their input through
    (LongCat-Flash): the router scores them, and transformers builds gate and up rows for them that nothing reads.
    `routing` is how the router weighs experts; `weights_divided` says that it divides the chosen weights by their sum.
    """

    experts: int
    top_k: int
    width: int
    gated: bool = True
    bias: bool = False
    fused: bool = True
    shared: Dense | None = None
    shared_gate: bool = False
    router_bias: bool = False
    router_linear: bool = False
    latent: int | None = None
    zero_experts: int = 0
    routing: Routing = Routing.SOFTMAX
    weights_divided: bool = True
    activation: str = "silu"
    extra: tuple[Weight, ...] = ()

    def idle_parameters(self, hidden: int) -> int:
        """Parameters of the experts - top_k experts that one token does not visit, and of zero experts."""
        held = sum(weight.parameters for weight in self._expert_weights(hidden))
        unread = sum(weight.parameters for weight in self._zero_expert_weights(hidden))
        return held // self.experts * (self.experts - self.top_k) + unread

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """Router, experts (fused or one linear each), shared expert and its gate."""
        kind = WeightKind.LINEAR if self.router_linear else WeightKind.ROUTER
        scored = self.experts + self.zero_experts
        router: tuple[Weight, ...] = (Weight("router", (scored, hidden), kind),)
        if self.router_bias:
            router += (Weight("router.bias", (scored,), WeightKind.BIAS),)
        shared = self.shared.weights(hidden) if self.shared else ()
        if self.shared_gate:
            shared += linear("shared_expert_gate", 1, hidden)
        return (*router, *self._expert_weights(hidden), *self._zero_expert_weights(hidden), *shared, *self.extra)

    def _expert_weights(self, hidden: int) -> tuple[Weight, ...]:
        hidden = self.latent or hidden
        first = 2 * self.width if self.gated else self.width
        name = "gate_up_proj" if self.gated else "up_proj"
        if not self.fused:
            one = Dense(width=self.width, gated=self.gated, bias=self.bias).weights(hidden)
            return tuple(Weight(w.name, w.shape, w.kind, self.experts) for w in one)
        matrices = (
            Weight(name, (self.experts, first, hidden), WeightKind.EXPERTS),
            Weight("down_proj", (self.experts, hidden, self.width), WeightKind.EXPERTS),
        )
        if not self.bias:
            return matrices
        return (
            *matrices,
            Weight(f"{name}.bias", (self.experts, first), WeightKind.BIAS),
            Weight("down_proj.bias", (self.experts, hidden), WeightKind.BIAS),
        )

    def _zero_expert_weights(self, hidden: int) -> tuple[Weight, ...]:
        if not self.zero_experts:
            return ()
        return (Weight("zero_experts.gate_up_proj", (self.zero_experts, 2 * self.width, hidden), WeightKind.EXPERTS),)


Ffn = Dense | MixtureOfExperts


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
    outputs of both are added (Falcon-H1).
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
