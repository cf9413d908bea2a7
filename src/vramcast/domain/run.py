"""
How a model is trained or served.

Letters: B micro-batch, T tokens per sequence, r adapter rank.
"""

from dataclasses import dataclass
from enum import StrEnum

from vramcast.domain.number_format import NumberFormat


class Method(StrEnum):
    """What is trained: every weight, or low-rank adapters on frozen weights, or on frozen 4-bit or 8-bit weights."""

    FULL = "full"
    LORA = "lora"
    QLORA = "qlora"


class Precision(StrEnum):
    """
    What really happens to the numbers, not what a flag is called.

    `fp32`, `bf16` and `fp16` are pure: weights, gradients and moments in that format. `amp-*` keeps FP32 weights and
    casts under autocast. `master-*` keeps a half-precision working copy and an FP32 master (Megatron, DeepSpeed: 16Φ).
    """

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    AMP_BF16 = "amp-bf16"
    AMP_FP16 = "amp-fp16"
    MASTER_BF16 = "master-bf16"
    MASTER_FP16 = "master-fp16"

    @property
    def is_amp(self) -> bool:
        """FP32 weights under autocast."""
        return self.value.startswith("amp-")

    @property
    def has_master(self) -> bool:
        """A half-precision working copy beside an FP32 master."""
        return self.value.startswith("master-")

    @property
    def compute(self) -> str:
        """Number format of the matrix products."""
        return self.value.rsplit("-", maxsplit=1)[-1]

    @property
    def weight_itemsize(self) -> int:
        """Bytes of one element of the weights that the forward pass reads."""
        return 4 if self.is_amp or self is Precision.FP32 else 2

    @property
    def compute_itemsize(self) -> int:
        """Bytes of one element of a matrix product's inputs."""
        return 4 if self is Precision.FP32 else 2


class Optimizer(StrEnum):
    """The update rule with its implementation: they keep the same states but differ in what the step allocates."""

    ADAMW_FOREACH = "adamw-foreach"
    ADAMW_FUSED = "adamw-fused"
    ADAMW_LOOP = "adamw-loop"
    ADAMW_8BIT = "adamw-8bit"
    PAGED_ADAMW = "paged-adamw"
    PAGED_ADAMW_8BIT = "paged-adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"
    SGD_MOMENTUM = "sgd-momentum"
    LION = "lion"
    LION_8BIT = "lion-8bit"
    MUON = "muon"


class Recompute(StrEnum):
    """Activation checkpointing: none, the attention core only (selective), or every block (full)."""

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


class AttentionKernel(StrEnum):
    """The implementation that runs softmax(QKᵀ)V; `sdpa` is resolved to the kernel that the device would choose."""

    EAGER = "eager"
    SDPA = "sdpa"
    FLASH = "flash"
    CUDNN = "cudnn"
    EFFICIENT = "efficient"
    MATH = "math"


class Loss(StrEnum):
    """How logits become a loss: stock cross-entropy, chunked over tokens, or fused with the output projection."""

    STOCK = "stock"
    CHUNKED = "chunked"
    FUSED_LINEAR = "fused-linear"


class Kernels(StrEnum):
    """Norms and MLP: the model's eager code, fused norms only, or both fused (Liger); fused ones save only their inputs."""

    EAGER = "eager"
    FUSED_NORMS = "fused-norms"
    FUSED = "fused"


class Offload(StrEnum):
    """What leaves the device between uses."""

    NONE = "none"
    OPTIMIZER = "optimizer"


class Cache(StrEnum):
    """How keys and values are kept between passes: grown by a token a pass, or at full length from the start."""

    DYNAMIC = "dynamic"
    STATIC = "static"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """
    Low-rank adapters: each targeted d_out × d_in matrix gains A (r × d_in) and B (d_out × r).

    `targets` are canonical names (`q_proj`, ...) or the words `attention`, `mlp`, `all-linear`. `dora` adds a magnitude
    vector of d_out. `fp32` is PEFT's `autocast_adapter_dtype`: adapters of half-precision models are kept in FP32.
    `modules_to_save` names modules (`embed_tokens`, `lm_head`) of which a copy is trained whole, as PEFT does it.
    """

    rank: int = 16
    targets: tuple[str, ...] = ("all-linear",)
    dropout: float = 0.0
    dora: bool = False
    fp32: bool = True
    modules_to_save: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """
    How frozen weights are stored: a number format with its scales (NF4, NF4 with double quantisation, FP4, INT8).

    `upcast` is PEFT's `prepare_model_for_kbit_training`: what is not quantised becomes FP32.
    """

    format: NumberFormat
    upcast: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRun:
    """
    One training step as it repeats: method, precision, optimizer and the shape of a batch.

    `reentrant` is the older of torch's two implementations of checkpointing. `evaluate` and `save` come after the steps: a
    forward pass without gradients, and a state dict gathered on the host.
    """

    method: Method = Method.FULL
    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW_FOREACH
    adapter: Adapter | None = None
    quantization: Quantization | None = None
    seq_len: int = 2048
    micro_batch: int = 1
    accum_steps: int = 1
    recompute: Recompute = Recompute.NONE
    reentrant: bool = False
    attention: AttentionKernel = AttentionKernel.SDPA
    loss: Loss = Loss.STOCK
    kernels: Kernels = Kernels.EAGER
    autocast: bool = False  # the step runs under autocast although the weights are half precision already
    offload: Offload = Offload.NONE
    evaluate: bool = False
    save: bool = False

    @property
    def tokens(self) -> int:
        """B · T."""
        return self.micro_batch * self.seq_len


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRun:
    """
    A served model: how weights and cache are stored, and how many sequences of which length are held at once.

    `engine` is `plain`: transformers' own generate. `weight_format` None keeps the checkpoint's own formats.
    `prefill_tokens` are the tokens that one forward pass reads at most; None: all prompts at once, B · T.
    `reserve` are bytes to leave free.
    """

    engine: str = "plain"
    weight_format: NumberFormat | None = None
    kv_format: NumberFormat
    max_model_len: int = 4096
    max_num_seqs: int = 1
    prefill_tokens: int | None = None
    attention: AttentionKernel = AttentionKernel.SDPA
    cache: Cache = Cache.DYNAMIC
    reserve: int = 0


Run = TrainRun | ServeRun
