"""
Feed-forward parts: dense, and mixtures of experts.

Letters: D hidden, F ffn width, E experts.
"""

from dataclasses import dataclass

from vramcast.domain.family_code import Routing
from vramcast.domain.weights import Weight, WeightKind, linear


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
