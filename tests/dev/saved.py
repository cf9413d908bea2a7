"""What one real forward pass keeps for its backward pass: unique storages that autograd holds, by saved-tensor hooks."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.dev.as_on_cuda import AsOnCuda
from vramcast.domain.run import AttentionKernel, Recompute, TrainRun

torch.set_num_threads(1)  # tensors of a few thousand elements: more threads only wait for each other


class Kept(NamedTuple):
    """One storage: the module that ran when autograd took it, shape and number format of the tensor, bytes of the storage."""

    module: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


def kept_storages(config: dict[str, Any], run: TrainRun) -> list[Kept]:
    """Every storage that a step of `run` keeps from forward to backward, but parameters, buffers and the token ids."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(config, run)
        ids = torch.randint(3, config["vocab_size"], (run.micro_batch, run.seq_len))
        return _forward(model, ids, run)


def build(config: dict[str, Any], run: TrainRun) -> nn.Module:
    """The model as transformers, PEFT and bitsandbytes set it up for `run`."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    parsed = AutoConfig.for_model(config["model_type"], **options)
    parsed.use_cache = False
    dtype = torch.float32 if run.precision.weight_itemsize == 4 else torch.bfloat16
    attention = "eager" if run.attention is AttentionKernel.EAGER else "sdpa"
    model = AutoModelForCausalLM.from_config(parsed, dtype=dtype, attn_implementation=attention)
    if run.quantization is not None:
        _quantize(model, run.quantization.upcast)
    if run.adapter is not None:
        targets = "all-linear" if "all-linear" in run.adapter.targets else list(run.adapter.targets)
        lora = LoraConfig(
            r=run.adapter.rank, target_modules=targets, lora_dropout=run.adapter.dropout, task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, lora, autocast_adapter_dtype=run.adapter.fp32)
        # as a block further up: not a leaf, whose cast autocast would cache
        model.get_input_embeddings().register_forward_hook(lambda *call: call[2].requires_grad_() * 1)
    if run.recompute is Recompute.FULL:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def _quantize(model: nn.Module, upcast: bool) -> None:
    """Put bitsandbytes' 4-bit layers in place of the linear layers, as transformers does when it loads a model."""
    model.is_loaded_in_4bit = True
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear) or module is model.get_output_embeddings():
            continue
        layer = Linear4bit(module.in_features, module.out_features, module.bias is not None, torch.bfloat16)
        layer.weight = Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
        layer.bias = module.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.to("cpu"))
    if upcast:
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def _forward(model: nn.Module, ids: torch.Tensor, run: TrainRun) -> list[Kept]:
    # references, for bitsandbytes exchanges biases, and a freed storage's place may be taken
    alive = [tensor.detach() for tensor in (*model.parameters(), *model.buffers(), ids)]
    known = {_place(tensor) for tensor in alive}
    storages: dict[int, Kept] = {}
    running: list[str] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = _place(tensor)
        if place not in known and place not in storages:
            alive.append(tensor)
            size = tensor.untyped_storage().nbytes()
            storages[place] = Kept(running[-1], tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), size)
        return tensor

    with (
        _names(model, running),
        _as_on_cuda(run),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        model(input_ids=ids, labels=ids)
    return list(storages.values())


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def _names(model: nn.Module, running: list[str]) -> Iterator[None]:
    """`running` holds the names of the modules that run, outermost first."""
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: running.pop() and None, always_call=True))
    yield
    for hook in hooks:
        hook.remove()


@contextmanager
def _as_on_cuda(run: TrainRun) -> Iterator[None]:
    half = torch.bfloat16 if run.autocast or run.precision.is_amp else None
    autocast = torch.autocast("cpu", dtype=half) if half else nullcontext()
    # PEFT asks for CUDA's autocast
    with autocast, patch("torch.is_autocast_enabled", _asks_for_cuda(half)), AsOnCuda(run.attention, half):
        yield


def _asks_for_cuda(half: torch.dtype | None) -> Callable[..., bool]:
    ask = torch.is_autocast_enabled
    return lambda *device: ask(*device) if device else half is not None
