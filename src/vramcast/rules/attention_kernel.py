"""Which attention kernel really runs: what was asked for, the model, the layer and the device decide together."""

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import AttentionKernel

AMPERE = (8, 0)
FLASH_HEAD_LIMIT = 256
CUDNN_HEAD_LIMIT = 128
CUDNN_HEAD_LIMIT_HOPPER = 256
CUDNN_FIRST = ((9, 0), (10, 0), (10, 3))
HOPPER = (9, 0)
DEEPSEEK_HEADS = (192, 128)
HALF = 2

# Families whose code in transformers 5.23 knows no SDPA, so that its default is eager.
EAGER_TYPES = frozenset(
    {"bloom", "codegen", "gpt_neo", "gpt_neox_japanese", "gptj", "hy_v4", "mpt", "openai-gpt", "xglm"},
)


def asked_attention(asked: AttentionKernel, model: ModelSpec) -> AttentionKernel:
    """
    What transformers makes of the wish for SDPA: eager attention in a family whose code has no SDPA.

    Among them are those in which a layer has attention sinks (gpt-oss) or caps its scores (Gemma 2).
    """
    if asked is not AttentionKernel.SDPA:
        return asked
    mixers = (mixer for run in model.layers for mixer in run.layer.mixers if isinstance(mixer, Attention))
    without = model.model_type in EAGER_TYPES or any(mixer.sinks or mixer.softcap for mixer in mixers)
    return AttentionKernel.EAGER if without else asked


def resolve_attention(
    asked: AttentionKernel,
    mixer: Attention | LatentAttention,
    seq_len: int,
    itemsize: int,
    capability: tuple[int, int] | None,
) -> AttentionKernel:
    """
    The kernel that runs a layer's softmax(QKᵀ)V.

    `sdpa` takes the first of cuDNN (compute capability 9.0, 10.0, 10.3 with cuDNN above 9.15), flash, efficient and math
    whose conditions hold: flash wants half precision, capability 8.0, one head dim up to 256 and no mask; efficient wants
    head dims that are multiples of 8 (4 in FP32) and as many KV heads as heads, which transformers provides by repeating
    them whenever it passes a mask. A layer whose window is not longer than the sequence passes a mask.

    Source: torch aten/native/transformers/cuda/sdp_utils.cpp; transformers 5.23 integrations/sdpa_attention.py,
            masking_utils.py.
    Ignores: an unknown device is taken as one that has flash attention; training with head dims of 193 to 224 on
             capabilities 8.6, 8.9 and 12, which flash refuses; BF16 below capability 8.0, which efficient refuses.
    """
    if asked is not AttentionKernel.SDPA:
        return asked
    masked = is_masked(mixer, seq_len)
    key_dim, value_dim = head_dims(mixer)
    half, equal = itemsize == HALF, key_dim == value_dim
    if isinstance(mixer, Attention) and mixer.broadcast and mixer.kv_heads < mixer.heads:
        return AttentionKernel.MATH
    if half and _cudnn(key_dim, value_dim, capability):
        return AttentionKernel.CUDNN
    modern = capability is None or capability >= AMPERE
    if half and modern and not masked and equal and key_dim <= FLASH_HEAD_LIMIT:
        return AttentionKernel.FLASH
    grouped = isinstance(mixer, Attention) and mixer.kv_heads < mixer.heads
    aligned = not (key_dim % (16 // itemsize) or value_dim % (16 // itemsize))
    if not aligned or (grouped and not masked and equal and key_dim <= FLASH_HEAD_LIMIT):
        return (
            AttentionKernel.MATH
        )  # grouped: SDPA is asked to group the heads itself, which efficient attention cannot
    return AttentionKernel.EFFICIENT


def _cudnn(key_dim: int, value_dim: int, capability: tuple[int, int] | None) -> bool:
    """Whether cuDNN comes first on this device and takes heads of these sizes."""
    if capability not in CUDNN_FIRST or key_dim % 8 or value_dim % 8:
        return False
    limit = CUDNN_HEAD_LIMIT_HOPPER if capability == HOPPER else CUDNN_HEAD_LIMIT
    deepseek = capability != HOPPER and (key_dim, value_dim) == DEEPSEEK_HEADS
    return deepseek or max(key_dim, value_dim) <= limit


def is_masked(mixer: Attention | LatentAttention, seq_len: int) -> bool:
    """Whether the sequence fills the layer's window, so that transformers passes an explicit mask."""
    return mixer.window is not None and mixer.window <= seq_len


def head_dims(mixer: Attention | LatentAttention) -> tuple[int, int]:
    """Elements of one query or key head, and of one value head."""
    if isinstance(mixer, LatentAttention):
        return mixer.nope_dim + mixer.rope_dim, mixer.value_dim
    return mixer.head_dim, mixer.value_dim or mixer.head_dim
