"""
Item sizes and switches that the rules of single operators share.

Letters: D hidden, r adapter rank.
"""

from typing import NamedTuple

from vramcast.domain.family_code import NormCode
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.run import AttentionKernel, Kernels, Method, Recompute, TrainRun
from vramcast.rules.attention_kernel import asked_attention
from vramcast.rules.parameters import INT8

HALF = 2


class Sizes(NamedTuple):
    """
    What a run means for one operator.

    Attributes:
        hidden: D.
        weight: bytes an element of a weight that is not quantised.
        compute: bytes an element of what a matrix product reads.
        stream: bytes an element of the residual stream (4 under autocast over FP32 weights and after a k-bit upcast, and
            where autocast's FP32 layer norms feed 4-bit layers, which answer in their input's type).
        branch: bytes an element of what the first linears of a branch write; bitsandbytes answers in its input's type.
        core: bytes an element inside the attention kernel; transformers casts for flash what is FP32.
        autocast: matrix products cast their inputs.
        trains_weights: the model's own weights get gradients, so linears keep their inputs.
        quantized: linears are bitsandbytes' 4-bit or 8-bit layers; eight_bit: the latter, which keep their input, though frozen.
        past_hooks: what those keep escapes checkpointing, but for the older one (`MatMul8bitLt` puts it on its context, where hooks do not see it).
        adapted: canonical names of the linears with an adapter; rank, adapter: its r and item size.
        merged: canonical names of the fused experts with an adapter, which PEFT adds to them in every forward pass.
        adapter_dropout: the adapter drops inputs, so keeps a mask and its own copy.
        fused_norms, fused_mlp: they run as fused kernels that keep only their inputs.
        attention: the attention kernel asked for; selective: its core is recomputed.
        dropout: the model's own dropout probabilities.
    """

    hidden: int
    weight: int
    compute: int
    stream: int
    branch: int
    core: int
    autocast: bool
    trains_weights: bool
    quantized: bool
    eight_bit: bool
    past_hooks: bool
    adapted: frozenset[str]
    merged: frozenset[str]
    rank: int
    adapter: int
    adapter_dropout: bool
    fused_norms: bool
    fused_mlp: bool
    attention: AttentionKernel
    selective: bool
    dropout: Dropout

    @property
    def norms_copy(self) -> bool:
        """An eager RMS norm saves an FP32 copy of a half-precision stream, not the stream itself."""
        return not self.fused_norms and self.stream == HALF

    def with_attention(self, kernel: AttentionKernel) -> "Sizes":
        """The same sizes with attention resolved to `kernel`."""
        return self if kernel is self.attention else self._replace(attention=kernel)


def widens(norm: Norm | None) -> bool:
    """Whether autocast runs this norm in FP32 and leaves its result so: torch's own layer norm."""
    return norm is not None and norm.kind is NormKind.LAYER and norm.code is NormCode.PLAIN


def adapter_itemsize(run: TrainRun) -> int:
    """Bytes of one adapter parameter: FP32 where PEFT upcasts adapters, else as the weights."""
    if run.adapter is None:
        return 0
    return 4 if run.adapter.fp32 or run.precision.weight_itemsize == 4 else 2


def sizes_of(
    model: ModelSpec, run: TrainRun, adapted: frozenset[str] = frozenset(), merged: frozenset[str] = frozenset()
) -> Sizes:
    """
    The item sizes of `run` on `model`, with the attention kernel as asked for.

    Source: transformers 5.23 modeling_llama.py, PEFT 0.21 tuners/lora, bitsandbytes 0.50 nn/modules.py (Linear4bit
    casts its input to the compute type and its output back to the input's type).
    """
    compute = run.precision.compute_itemsize
    upcast = run.quantization is not None and run.quantization.upcast
    autocast = run.precision.is_amp or run.autocast
    widened = run.quantization is not None and autocast and widens(model.final_norm)
    stream = 4 if upcast or widened else run.precision.weight_itemsize
    branch = stream if run.quantization is not None else compute
    eight_bit = run.quantization is not None and run.quantization.format.name == INT8
    attention = asked_attention(run.attention, model)
    core = compute if autocast else branch
    return Sizes(
        hidden=model.hidden_size,
        weight=4 if upcast else run.precision.weight_itemsize,
        compute=compute,
        stream=stream,
        branch=branch,
        core=HALF if attention is AttentionKernel.FLASH else core,
        autocast=autocast,
        trains_weights=run.method is Method.FULL,
        quantized=run.quantization is not None,
        eight_bit=eight_bit,
        past_hooks=eight_bit and run.recompute is Recompute.FULL and not run.reentrant,
        adapted=adapted,
        merged=merged,
        rank=run.adapter.rank if run.adapter else 0,
        adapter=adapter_itemsize(run),
        adapter_dropout=run.adapter is not None and run.adapter.dropout > 0,
        fused_norms=run.kernels is not Kernels.EAGER,
        fused_mlp=run.kernels is Kernels.FUSED,
        attention=attention,
        selective=run.recompute is Recompute.SELECTIVE,
        dropout=model.dropout,
    )
