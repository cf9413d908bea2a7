"""Which attention kernel really runs: what was asked for, the device and the layer decide together."""

from vramcast.domain.layer import Attention, LatentAttention
from vramcast.domain.run import AttentionKernel

AMPERE = (8, 0)
MASKED_HEAD_LIMIT = 256
CUDNN_HEAD_LIMIT = 128
CUDNN_HEAD_LIMIT_HOPPER = 256
CUDNN_FIRST = ((9, 0), (10, 0), (10, 3))


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
    as many KV heads as heads, which transformers provides by repeating them whenever it passes a mask. A layer whose
    window is shorter than the sequence passes a mask. Attention sinks have no SDPA form: transformers runs them eager.

    Source: torch aten/native/transformers/cuda/sdp_utils.cpp; transformers 5.23 integrations/sdpa_attention.py.
    Ignores: an unknown device is taken as one that has flash attention.
    """
    if asked is AttentionKernel.SDPA and isinstance(mixer, Attention) and mixer.sinks:
        return AttentionKernel.EAGER
    if asked is not AttentionKernel.SDPA:
        return asked
    masked = is_masked(mixer, seq_len)
    key_dim, value_dim = head_dims(mixer)
    half = itemsize == 2
    cudnn_limit = CUDNN_HEAD_LIMIT_HOPPER if capability == (9, 0) else CUDNN_HEAD_LIMIT
    if half and capability in CUDNN_FIRST and key_dim % 8 == 0 and key_dim == value_dim and key_dim <= cudnn_limit:
        return AttentionKernel.CUDNN
    modern = capability is None or capability >= AMPERE
    if half and modern and not masked and key_dim == value_dim and key_dim <= MASKED_HEAD_LIMIT:
        return AttentionKernel.FLASH
    grouped = isinstance(mixer, Attention) and mixer.kv_heads < mixer.heads
    if grouped and not masked and key_dim <= MASKED_HEAD_LIMIT and key_dim == value_dim:
        return AttentionKernel.MATH  # SDPA is asked to group the heads itself, which efficient attention cannot
    return AttentionKernel.EFFICIENT


def is_masked(mixer: Attention | LatentAttention, seq_len: int) -> bool:
    """Whether the layer's window is shorter than the sequence, so that an explicit mask is passed."""
    return mixer.window is not None and mixer.window < seq_len


def head_dims(mixer: Attention | LatentAttention) -> tuple[int, int]:
    """Elements of one query or key head, and of one value head."""
    if isinstance(mixer, LatentAttention):
        return mixer.nope_dim + mixer.rope_dim, mixer.value_dim
    return mixer.head_dim, mixer.value_dim or mixer.head_dim
