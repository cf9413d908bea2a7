"""The model that is trained or served, on `meta`."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.initialization import no_init_weights

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import AttentionKernel, Kernels, Recompute, Run, ServeRun, TrainRun
from vramcast.trace.adapters import adapt
from vramcast.trace.quantized import quantize
from vramcast.trace.repeat import Shallow

MISTAKES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a config's numbers
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

    Raises:
        InputError: the config cannot be read.
        UnsupportedError: transformers has no code of its own for the model, or the run wants what the trace cannot do.
    """
    settings, notes = read_settings(config)
    settings.use_cache = isinstance(run, ServeRun)
    with warnings.catch_warnings(), torch.device("meta"), no_init_weights():
        warnings.simplefilter("ignore", FutureWarning)
        model = _made(settings, run)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        shallow = shorten(model) if shorten else None
        model = _trained(model.train(), run) if isinstance(run, TrainRun) else model.eval()
    return Built(model=model, parameters=parameters, shallow=shallow, notes=notes)


def read_settings(config: Mapping[str, object]) -> tuple[PretrainedConfig, tuple[str, ...]]:
    """transformers' own config of a text model, and what was left out of a multimodal one."""
    values = dict(config)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str):
        raise InputError("the config has no model_type", "a trace needs the config.json of a model")
    if kind not in CONFIG_MAPPING:
        raise UnsupportedError(f"transformers has no code of its own for {kind[:40]!r}", "without --exact")
    try:
        settings = AutoConfig.for_model(kind, **values)
    except (StrictDataclassError, *MISTAKES) as error:
        raise _unreadable(kind, error) from error
    text = getattr(settings, "text_config", settings)
    if text is settings or type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return settings, ()
    return text, (f"the parts of {kind!r} outside its text model (vision, audio)",)


def _dtype(run: Run) -> torch.dtype:
    if isinstance(run, ServeRun):
        return DTYPES.get(run.weight_format.name if run.weight_format else "bf16", torch.bfloat16)
    precision = run.precision
    return torch.float32 if precision.is_amp else DTYPES[precision.compute]


def _made(settings: PretrainedConfig, run: Run) -> nn.Module:
    """The model with eager attention, with what transformers takes unless told otherwise, or with SDPA for a given kernel."""
    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedError(f"transformers has no language model of type {settings.model_type!r}", "without --exact")
    asked = {AttentionKernel.EAGER: "eager", AttentionKernel.SDPA: None}.get(run.attention, "sdpa")
    try:
        model: nn.Module = AutoModelForCausalLM.from_config(settings, dtype=_dtype(run), attn_implementation=asked)
    except ValueError as error:
        if asked == "sdpa" and "scaled_dot_product_attention" in str(error):
            kind = settings.model_type
            raise UnsupportedError(
                f"the code of {kind} has no SDPA that could run {run.attention}", "--attention eager"
            ) from error
        raise _unreadable(settings.model_type, error) from error
    except MISTAKES as error:
        raise _unreadable(settings.model_type, error) from error
    model.tie_weights()  # type: ignore[operator]  # which goes with initialising them
    return model


def _unreadable(kind: str, error: Exception) -> InputError:
    """What transformers' code says of a config that it cannot use, its last line."""
    said = str(error).strip().splitlines() or [""]
    return InputError(
        f"transformers cannot build this {kind}: {type(error).__name__}: {said[-1].strip()[:160]}",
        "look at the sizes in its config.json",
    )


def _trained(model: nn.Module, run: TrainRun) -> nn.Module:
    if run.kernels is not Kernels.EAGER:
        raise UnsupportedError(f"the trace does not run {run.kernels} kernels", "--kernels eager, or without --exact")
    if run.recompute is Recompute.SELECTIVE:
        raise UnsupportedError("the trace does not recompute the attention core alone", "--recompute full or none")
    if run.quantization is not None:
        quantize(model, run.quantization, DTYPES[run.precision.compute])
    if run.adapter is not None:
        model = adapt(model, run.adapter, _dtype(run))
    if run.recompute is Recompute.FULL:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
        if run.adapter is not None:
            model.enable_input_require_grads()  # type: ignore[operator]
    return model
