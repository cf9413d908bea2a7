"""Experts that are one tensor for all of them, which linear layers' tools pass over."""

from torch import nn

from vramcast.domain.run import TrainRun
from vramcast.units import format_bytes

DIMENSIONS = 3
EXPERTS = "experts"


def fused_bytes(model: nn.Module) -> int:
    """Bytes of the experts of a model without adapters that are one tensor a layer."""
    fused = (one for name, one in model.named_parameters() if one.dim() == DIMENSIONS and EXPERTS in name)
    return sum(one.numel() * one.element_size() for one in fused)


def passed_over(model: nn.Module, run: TrainRun, experts: int) -> tuple[str, ...]:
    """
    What bitsandbytes does not quantise and adapters do not reach, of `experts` bytes.

    Source: transformers 5.23 integrations/bitsandbytes.py (`replace_with_bnb_linear`: linear layers only), PEFT 0.21 (experts
    only in families whose former names it knows).
    """
    notes = []
    if experts and run.quantization is not None:
        notes.append(f"quantised experts: bitsandbytes leaves fused 3-D ones as they are ({format_bytes(experts)})")
    adapted = any("lora_" in name and EXPERTS in name for name, _ in model.named_parameters())
    if experts and run.adapter is not None and set(run.adapter.targets) != {"attention"} and not adapted:
        notes.append("adapters on fused 3-D experts: PEFT leaves them alone in this family")
    return tuple(notes)
