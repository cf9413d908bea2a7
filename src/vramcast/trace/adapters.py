"""PEFT's adapters on a model that is still on `meta`."""

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from vramcast.domain.errors import InputError
from vramcast.domain.module_names import TARGETS, canonical_names
from vramcast.domain.run import Adapter

BOTH = {"o_proj", "down_proj"}  # what GPT-2 calls c_proj: the module above tells which


def adapt(model: nn.Module, adapter: Adapter, weights: torch.dtype) -> nn.Module:
    """
    `model`, of FP32 or half-precision `weights`, with low-rank adapters, as PEFT adds them.

    Adapters are made in FP32; where PEFT does not keep them so, they become as the weights are (TRL: beside 4-bit ones too).

    Raises:
        InputError: the targets name no linear layer of the model, or `modules_to_save` a module that it has not.
    """
    unknown = set(adapter.modules_to_save) - {path.rpartition(".")[2] for path, _ in model.named_modules()}
    if unknown:
        raise InputError(f"no module is called {', '.join(sorted(unknown))[:80]}", "embed_tokens and lm_head, say")
    lora = LoraConfig(
        r=adapter.rank,
        target_modules=_targets(model, adapter.targets),
        lora_dropout=adapter.dropout,
        use_dora=adapter.dora,
        modules_to_save=list(adapter.modules_to_save) or None,
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    try:
        adapted = get_peft_model(model, lora, autocast_adapter_dtype=adapter.fp32)
    except ValueError as error:
        raise InputError(f"PEFT: {str(error).splitlines()[0][:160]}", "--lora-targets all-linear") from error
    if not adapter.fp32:
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(weights)
    return adapted


def _targets(model: nn.Module, targets: tuple[str, ...]) -> str | list[str]:
    """Words and canonical names as the model's own module names."""
    if targets == ("all-linear",):
        return "all-linear"
    wanted = {name for target in targets for name in TARGETS.get(target, (target,))}
    kind = getattr(getattr(model, "config", None), "model_type", "")
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    found = sorted({own for path in linears if (own := _own_name(path, wanted, kind))})
    if not found:
        names = sorted({path.rpartition(".")[2] for path in linears})
        raise InputError(
            f"no linear layer is called {', '.join(sorted(wanted))[:80]}", f"its own: {', '.join(names)[:200]}"
        )
    return found


def _own_name(path: str, wanted: set[str], kind: str) -> str:
    """The end of a linear layer's path that PEFT shall look for, empty if nobody wants it."""
    above, _, last = path.rpartition(".")
    meanings = set(canonical_names(last, kind))
    if meanings != BOTH or last in wanted:
        return last if last in wanted or meanings & wanted else ""
    parent = above.rpartition(".")[2]
    return f"{parent}.{last}" if ("o_proj" if "att" in parent else "down_proj") in wanted else ""
