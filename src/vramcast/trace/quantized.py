"""
Which linear layers are stored in 4 or 8 bits, and how a model comes to its device.

The layers are bitsandbytes' own, put where transformers puts them, so that PEFT knows them and its operators run.

Source: transformers 5.23 integrations/bitsandbytes.py, quantizers/base.py (`get_modules_to_not_convert`).
"""

from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.modeling_utils import local_torch_dtype
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
from transformers.quantizers.quantizer_bnb_8bit import Bnb8BitHfQuantizer

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.run import Quantization
from vramcast.trace.bnb_weights import QUANTIZED, place_weight, scales

__all__ = ["place", "quantize", "scales"]
FOUR_BIT = ("nf4", "fp4")
EIGHT_BIT = "int8"
DOUBLE = "-dq"


def quantize(model: nn.Module, quantization: Quantization, compute: torch.dtype) -> None:
    """
    Put bitsandbytes' layers where transformers puts them, and freeze everything; the rest in FP32 if asked.

    Args:
        model: on `meta`, in the format that its weights are quantised from.
        quantization: how weights are stored.
        compute: format of the matrix products (`bnb_4bit_compute_dtype`).

    Raises:
        UnsupportedError: bitsandbytes has no such format.
    """
    assert isinstance(model, PreTrainedModel)
    settings = _settings(quantization.format, compute)
    quantizer = (Bnb8BitHfQuantizer if settings.load_in_8bit else Bnb4BitHfQuantizer)(settings, pre_quantized=False)
    with local_torch_dtype(model.dtype):  # biases are made anew
        quantizer.preprocess_model(model, device_map=None)
    quantizer.postprocess_model(model)
    if quantization.upcast:
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model.requires_grad_(requires_grad=False)


def _settings(wanted: NumberFormat, compute: torch.dtype) -> BitsAndBytesConfig:
    if wanted.name == EIGHT_BIT:
        return BitsAndBytesConfig(load_in_8bit=True)
    kind = wanted.name.removesuffix(DOUBLE)
    if kind not in FOUR_BIT:
        known = ", ".join([*FOUR_BIT, *(name + DOUBLE for name in FOUR_BIT), EIGHT_BIT])
        raise UnsupportedError(f"bitsandbytes stores no weights as {wanted.name}", f"one of {known}")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=wanted.name.endswith(DOUBLE),
        bnb_4bit_compute_dtype=compute,
    )


def place(model: nn.Module, device: str) -> None:
    """Move every parameter and buffer to `device`, most of them from `meta`, module by module; tied ones stay tied."""
    moved: dict[int, Any] = {}
    for module in model.modules():
        if isinstance(module, QUANTIZED):
            place_weight(module, device)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.device.type != device:
                new = moved.get(id(parameter))
                if new is None:
                    data = torch.empty_like(parameter, device=device)
                    new = moved[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
                module.register_parameter(name, new)
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.device.type != device:
                if id(buffer) not in moved:
                    moved[id(buffer)] = torch.empty_like(buffer, device=device)
                persistent = name not in module._non_persistent_buffers_set
                module.register_buffer(name, moved[id(buffer)], persistent=persistent)
