"""PEFT's adapters on a loaded model."""

from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from vramcast.domain.errors import InputError
from vramcast.domain.module_names import TARGETS, canonical_names
from vramcast.domain.run import Adapter

ALL = "all-linear"


def with_adapters(model: PreTrainedModel, adapter: Adapter, compute: torch.dtype, *, upcast: bool = False) -> nn.Module:
    """
    `model` frozen, with low-rank adapters to train.

    Args:
        model: loaded, quantised or not.
        adapter: rank, targets and the rest, as PEFT takes them.
        compute: what adapters are kept in where they are not kept in FP32.
        upcast: first make what is not quantised FP32 (PEFT's `prepare_model_for_kbit_training`).

    Raises:
        InputError: the targets name no linear layer, or PEFT refuses them.
    """
    if upcast:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
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
        adapted: nn.Module = get_peft_model(model, lora, autocast_adapter_dtype=adapter.fp32)
    except ValueError as error:
        raise InputError(f"PEFT: {str(error).strip()[:160]}", f"--lora-targets {ALL}") from error
    if not adapter.fp32:
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data = weight.data.to(compute)
    return adapted


def _targets(model: PreTrainedModel, wanted: tuple[str, ...]) -> str | list[str]:
    """Paths of the wanted linear layers; PEFT's own word for all of them."""
    if wanted == (ALL,):
        return ALL
    names = {name for word in wanted for name in TARGETS.get(word, (word,))}
    kind = model.config.model_type
    linears = [path for path, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    found = [path for path in linears if path.rpartition(".")[2] in names or _meaning(path, kind) in names]
    if not found:
        known = sorted({path.rpartition(".")[2] for path in linears})
        raise InputError(f"no linear layer is called {', '.join(sorted(names))[:80]}", f"its own: {', '.join(known)}")
    return found


def _meaning(path: str, kind: str) -> str:
    """The canonical name of a layer; where there are two, that of attention if it is in an attention module."""
    meanings = canonical_names(path, kind)
    if len(meanings) < 2:
        return "".join(meanings)
    in_attention = "att" in path.rpartition(".")[0].rpartition(".")[2]
    group = TARGETS["attention" if in_attention else "mlp"]
    return next((name for name in meanings if name in group), meanings[0])


def checkpointed(model: PreTrainedModel, adapted: Any, *, reentrant: bool) -> None:
    """Recompute every block in the backward pass; behind frozen weights the first block's input must ask for gradients."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    if adapted is not model:
        model.enable_input_require_grads()
