"""The model that is trained or served, on `meta`."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import AttentionKernel, Kernels, Quantization, Recompute, Run, ServeRun, TrainRun
from vramcast.trace import flash_path
from vramcast.trace.adapters import adapt
from vramcast.trace.experts import fused_bytes, passed_over
from vramcast.trace.model_config import MISTAKES, model_config, stored_format, unreadable
from vramcast.trace.quantized import quantize
from vramcast.trace.repeat import Shallow

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Shorten = Callable[[nn.Module], Shallow | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A model on `meta`; `parameters` of all its layers; `shallow` if equal layers were left out; `notes`: what to tell the user about it."""

    model: nn.Module
    parameters: int
    shallow: Shallow | None
    notes: tuple[str, ...]


def build(config: Mapping[str, object], run: Run, *, shorten: Shorten | None = None) -> Built:
    """
    The model that transformers makes of `config`, with adapters, quantised weights and checkpointing as `run` says.

    It is on `meta`, made outside of any fake mode (bitsandbytes' parameters cannot be fake); `quantized.place` moves it.

    Args:
        config: a parsed config.json.
        run: how it is trained or served.
        shorten: leaves out layers that only repeat others.

    Raises:
        InputError: the config cannot be read, or adapters have no place in the model.
        UnsupportedError: transformers has no code of its own for the model, or the run wants what the trace cannot do.
    """
    settings, notes = model_config(config)
    settings.use_cache = isinstance(run, ServeRun)
    stored = stored_format(config)
    with warnings.catch_warnings(), torch.device("meta"), no_init_weights():
        warnings.simplefilter("ignore")  # what libraries say to a person who loads a model
        model = _made(settings, run)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        experts = fused_bytes(model)
        shallow = shorten(model) if shorten else None
        if isinstance(run, ServeRun):
            finished = _served(model.eval(), run, stored)
        else:
            finished = _trained(model.train(), run)
            notes += (*_stored(stored), *passed_over(finished, run, experts))
            if run.recompute is Recompute.FULL:
                _recompute(model, run)
    return Built(model=finished, parameters=parameters, shallow=shallow, notes=notes)


def _dtype(settings: PretrainedConfig, run: Run) -> torch.dtype:
    if isinstance(run, TrainRun):
        return torch.float32 if run.precision.is_amp else DTYPES[run.precision.compute]
    own = settings.dtype if isinstance(settings.dtype, torch.dtype) else torch.bfloat16
    return own if run.weight_format is None else DTYPES.get(run.weight_format.name, own)


def _made(settings: PretrainedConfig, run: Run) -> PreTrainedModel:
    """Weights tied, in the run's number format, with its attention."""
    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedError(f"transformers has no language model of type {settings.model_type!r}", "without --exact")
    asked = _attention(settings, run.attention)
    dtype = _dtype(settings, run)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(settings, dtype=dtype, attn_implementation=asked)
    except ValueError as error:
        if asked == "sdpa" and "scaled_dot_product_attention" in str(error):
            kind = settings.model_type
            raise UnsupportedError(
                f"the code of {kind} has no SDPA that could run {run.attention}", "--attention eager"
            ) from error
        raise unreadable(settings.model_type, error) from error
    except MISTAKES as error:
        raise unreadable(settings.model_type, error) from error
    model.tie_weights()  # which goes with initialising them
    _keep_in_fp32(model, dtype)
    return model


def _attention(settings: PretrainedConfig, wanted: AttentionKernel) -> str | None:
    """Eager attention; transformers' own choice (None); FlashAttention's path where the model has one; SDPA for a given kernel."""
    if wanted is AttentionKernel.FLASH and flash_path.has_one(settings):
        return flash_path.NAME
    return {AttentionKernel.EAGER: "eager", AttentionKernel.SDPA: None}.get(wanted, "sdpa")


def _keep_in_fp32(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Weights that a family wants in FP32 beside half-precision ones, as `from_pretrained` loads them."""
    patterns = [pattern.replace("*", ".*") for pattern in model._get_dtype_plan(dtype)]
    for name, tensor in model.state_dict(keep_vars=True).items() if patterns else ():
        if re.search("|".join(patterns), name):
            tensor.data = tensor.data.float()


def _stored(name: str) -> tuple[str, ...]:
    return (f"the format that the checkpoint is stored in ({name}): weights are in the run's",) if name else ()


def _trained(model: PreTrainedModel, run: TrainRun) -> nn.Module:
    if run.kernels is not Kernels.EAGER:
        raise UnsupportedError(f"the trace does not run {run.kernels} kernels", "--kernels eager, or without --exact")
    if run.recompute is Recompute.SELECTIVE:
        raise UnsupportedError("the trace does not recompute the attention core alone", "--recompute full or none")
    dtype = model.dtype
    if run.quantization is not None:
        quantize(model, run.quantization, DTYPES[run.precision.compute])
    return model if run.adapter is None else adapt(model, run.adapter, dtype)


def _recompute(model: PreTrainedModel, run: TrainRun) -> None:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": run.reentrant})
    if run.adapter is not None:
        model.enable_input_require_grads()


def _served(model: PreTrainedModel, run: ServeRun, stored: str) -> nn.Module:
    wanted = run.weight_format
    if wanted is not None and wanted.name not in DTYPES:
        quantize(model, Quantization(format=wanted), model.dtype)
    if wanted is None and stored:
        raise UnsupportedError(f"weights stored as {stored} are not traced", "--weight-format bf16, nf4 or int8")
    return model
