"""The model that is trained or served, with real weights on a real device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import Tensor
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.run import AttentionKernel, Run, ServeRun

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Source = Mapping[str, Any] | Path


def load(source: Source, run: Run, device: str, *, seed: int = 0) -> PreTrainedModel:
    """
    transformers' model, loaded as people load it: weights in the format that the run starts from, quantised on the way.

    Args:
        source: a parsed config.json, whose model gets the random weights that its own code gives it; or a checkpoint's folder.
        run: says the number format. Training with a master copy starts from FP32 weights.
        device: `cpu` or `cuda`.
        seed: of random weights.

    Raises:
        InputError: transformers cannot read the config or the folder.
        UnsupportedError: it has no code of its own for the model, or stores no weights in that format.
    """
    settings = _settings(source)
    dtype = _dtype(settings, run)
    found = str(source) if isinstance(source, Path) else None
    model: PreTrainedModel = _class_of(settings).from_pretrained(
        found,
        config=settings,
        state_dict=None if found else _random_weights(settings, dtype, seed),
        dtype=dtype,
        quantization_config=_quantization(run),
        device_map={"": device},
        attn_implementation="eager" if run.attention is AttentionKernel.EAGER else None,
    )
    model.config.use_cache = isinstance(run, ServeRun)
    _keep_packing(model)
    model.train(mode=not isinstance(run, ServeRun))
    return model


def _keep_packing(model: PreTrainedModel) -> None:
    """Out of training, bitsandbytes packs 4-bit weights anew for some CPUs; here they stay as they are on CUDA."""
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _settings(source: Source) -> PretrainedConfig:
    try:
        if isinstance(source, Path):
            settings: Any = AutoConfig.from_pretrained(source)
        else:
            values = dict(source)
            settings = AutoConfig.for_model(values.pop("model_type", ""), **values)
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise InputError(f"transformers cannot read the config: {str(error).strip()[:160]}") from error
    text: PretrainedConfig = settings.get_text_config(decoder=True)
    text.dtype = text.dtype or settings.dtype
    return text


def _class_of(settings: PretrainedConfig) -> Any:
    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedError(f"transformers has no language model of type {settings.model_type!r}")
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)]


def _random_weights(settings: PretrainedConfig, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """A state dict on the host, initialised by the model's own code."""
    torch.manual_seed(seed)
    theirs: Any = AutoModelForCausalLM
    return dict(theirs.from_config(settings, dtype=dtype).state_dict())


def _dtype(settings: PretrainedConfig, run: Run) -> torch.dtype:
    if isinstance(run, ServeRun):
        own = settings.dtype if isinstance(settings.dtype, torch.dtype) else torch.bfloat16
        return own if run.weight_format is None else DTYPES.get(run.weight_format.name, own)
    precision = run.precision
    from_fp32 = precision.is_amp or (precision.has_master and run.adapter is None)
    return torch.float32 if from_fp32 else DTYPES[precision.compute]


def _quantization(run: Run) -> BitsAndBytesConfig | None:
    if isinstance(run, ServeRun):
        plain = run.weight_format is None or run.weight_format.name in DTYPES
        return None if plain or run.weight_format is None else _stored_as(run.weight_format, torch.bfloat16)
    return None if run.quantization is None else _stored_as(run.quantization.format, DTYPES[run.precision.compute])


def _stored_as(wanted: NumberFormat, compute: torch.dtype) -> BitsAndBytesConfig:
    name = wanted.name
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if name.removesuffix("-dq") not in {"nf4", "fp4"}:
        raise UnsupportedError(f"bitsandbytes stores no weights as {name}", "nf4, nf4-dq, fp4 or int8")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=name.removesuffix("-dq"),
        bnb_4bit_use_double_quant=name.endswith("-dq"),
        bnb_4bit_compute_dtype=compute,
    )
