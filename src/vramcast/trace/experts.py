"""Experts that are one tensor for all of them, which linear layers' tools pass over."""

from torch import nn

from vramcast.domain.run import TrainRun
from vramcast.units import format_bytes

DIMENSIONS = 3


def passed_over(model: nn.Module, run: TrainRun) -> tuple[str, ...]:
    """
    What bitsandbytes does not quantise and adapters do not reach, though it is most of a mixture's weights.

    Source: transformers 5.23 integrations/bitsandbytes.py (`replace_with_bnb_linear`: linear layers only), PEFT 0.21 (experts
    only in families whose former names it knows).
    """
    fused = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == DIMENSIONS and "experts" in name and "lora_" not in name
    }
    if not fused:
        return ()
    notes = []
    if run.quantization is not None:
        size = format_bytes(sum(one.numel() * one.element_size() for one in fused.values()))
        notes.append(f"quantised experts: bitsandbytes leaves fused 3-D ones as they are ({size})")
    adapted = any("lora_" in name and "experts" in name for name, _ in model.named_parameters())
    if run.adapter is not None and set(run.adapter.targets) != {"attention"} and not adapted:
        notes.append("adapters on fused 3-D experts: PEFT leaves them alone in this family")
    return tuple(notes)
