"""
The path of FlashAttention through transformers' models, as `attn_implementation="flash_attention_2"` takes it.

transformers' path of SDPA builds masks for sliding windows and repeats keys and values where a mask is there. The path of
FlashAttention does neither for batches without padding: the kernel knows windows, soft caps and grouped heads itself.

Source: transformers 5.23 integrations/flash_attention.py, masking_utils.py (`flash_attention_mask`),
modeling_flash_attention_utils.py (`_flash_attention_forward`).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.flash_attention import get_target_dtype
from transformers.masking_utils import flash_attention_mask
from transformers.modeling_flash_attention_utils import _is_packed_sequence, fa_peft_integration_check

from vramcast.domain.errors import UnsupportedError

NAME = "standin_fa2"


def has_one(settings: PretrainedConfig) -> bool:
    """Whether a family's code goes through transformers' interface of attention, and supports FlashAttention there."""
    family: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)]
    return bool(family._supports_flash_attn and family._can_set_attn_implementation())


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_ids: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """
    One call, for sequences without padding.

    Raises:
        UnsupportedError: FP32, which FlashAttention has no kernel for, or sequences that are padded.
    """
    if attention_mask is not None:
        raise UnsupportedError("padded batches under FlashAttention are not traced", "--attention sdpa")
    width, value_width = query.shape[-1], value.shape[-1]
    if value_width < width:
        value = pad(value, [0, width - value_width])
    query, key, value = fa_peft_integration_check(query, key, value, get_target_dtype(query, module))
    if query.dtype is torch.float32:
        raise UnsupportedError("FlashAttention has no FP32", "--precision bf16, or --attention sdpa")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    _is_packed_sequence(position_ids, len(query))  # asked in every layer, on the device
    out = scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=causal and query.shape[-2] > 1, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    return (out[..., :value_width] if value_width < width else out), None


def register() -> None:
    """Make the name known to transformers. Once a process."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, flash_attention_mask)


register()
