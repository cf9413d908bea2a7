"""
FlashAttention as `attn_implementation="flash_attention_2"` calls it, on the stand-in device.

transformers' `sdpa` path builds masks for sliding windows and repeats keys and values of grouped heads where a mask is there.
The path of FlashAttention does neither: no mask for batches without padding, and the kernel reads grouped heads as they are.

Source: transformers 5.23 integrations/flash_attention.py, masking_utils.py (`flash_attention_mask`),
modeling_flash_attention_utils.py (`fa_peft_integration_check`).
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flash_attention import get_target_dtype
from transformers.masking_utils import flash_attention_mask

FLASH = "standin_flash"


def attend_flash(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """One call of FlashAttention; a window and a soft cap are the kernel's own business and cost no memory."""
    width, value_width = query.shape[-1], value.shape[-1]
    if value_width != width:
        value = pad(value, [0, width - value_width])
    target = get_target_dtype(query, module)
    if target is not None:
        query, key, value = (tensor.to(target) for tensor in (query, key, value))
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    causal = causal and query.shape[-2] > 1
    out = scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=causal, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    return (out[..., :value_width] if value_width != width else out), None


def register() -> None:
    """Make the name known to transformers. Once a process."""
    AttentionInterface.register(FLASH, attend_flash)
    AttentionMaskInterface.register(FLASH, flash_attention_mask)


register()
