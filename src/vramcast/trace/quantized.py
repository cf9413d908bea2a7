"""
bitsandbytes' quantised layers on a device that stores nothing.

The layers are bitsandbytes' own, so that PEFT knows them and its operators run; their weights are plain parameters of the packed
size that carry the quantisation state, since `Params4bit` quantises real numbers when it moves.

Source: bitsandbytes 0.50 functional.py (`quantize_4bit`, `QuantState`), transformers 5.23 integrations/bitsandbytes.py.
"""

from collections.abc import Iterator
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import QuantState
from peft import prepare_model_for_kbit_training
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.quantizers.base import get_keys_to_not_convert

from vramcast.domain.run import Quantization, TrainRun

BLOCK = 64  # values that share a scale
NESTED = 256  # scales that share a scale of their own
CODES = {"nf4": 16, "fp4": 16}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def quantize(model: nn.Module, run: TrainRun) -> None:
    """Put bitsandbytes' 4-bit layers where transformers puts them; the rest in FP32 if the run says so."""
    quantization = run.quantization
    assert quantization is not None
    compute = DTYPES[run.precision.compute]
    kept = get_keys_to_not_convert(model)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=_kind(quantization),
        bnb_4bit_use_double_quant=quantization.format.name.endswith("-dq"),
        bnb_4bit_compute_dtype=compute,
    )
    replace_with_bnb_linear(model, modules_to_not_convert=kept, quantization_config=settings)
    model.is_loaded_in_4bit = True  # type: ignore[assignment]
    if quantization.upcast:
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _kind(quantization: Quantization) -> str:
    return quantization.format.name.removesuffix("-dq")


def place(model: nn.Module, device: str) -> None:
    """Move every parameter and buffer to `device`, most of them from `meta`, module by module; tied ones stay tied."""
    moved: dict[int, Any] = {}
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.weight = _packed(module, device)
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


def scales(model: nn.Module) -> Iterator[tuple[nn.Parameter, list[torch.Tensor]]]:
    """Each 4-bit weight with the tensors of its quantisation state, which are neither parameters nor buffers."""
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            state = module.quant_state
            nested = state.state2
            found = [state.absmax, state.code, *((state.offset, nested.absmax, nested.code) if nested else ())]
            yield module.weight, found


def _packed(layer: bnb.nn.Linear4bit, device: str) -> nn.Parameter:
    """Two values a byte, with the state that bitsandbytes keeps beside them."""
    old = layer.weight
    values = layer.in_features * layer.out_features
    weight = nn.Parameter(torch.empty((values + 1) // 2, 1, dtype=torch.uint8, device=device), requires_grad=False)
    state = _state((layer.out_features, layer.in_features), old, layer.compute_dtype, device)
    weight.quant_state = state  # type: ignore[attr-defined]
    weight.compress_statistics = old.compress_statistics  # type: ignore[attr-defined]
    weight.quant_type = old.quant_type  # type: ignore[attr-defined]
    weight.bnb_quantized = True  # type: ignore[attr-defined]
    layer.quant_state = state
    return weight


def _state(shape: tuple[int, int], old: Any, dtype: torch.dtype, device: str) -> QuantState:
    def empty(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    blocks = -(-shape[0] * shape[1] // BLOCK)
    nested = bool(old.compress_statistics)
    return QuantState(
        absmax=empty(blocks, dtype=torch.uint8) if nested else empty(blocks),
        shape=torch.Size(shape),
        code=empty(CODES[old.quant_type]),
        blocksize=BLOCK,
        quant_type=old.quant_type,
        dtype=dtype,
        offset=empty(()) if nested else None,
        state2=QuantState(absmax=empty(-(-blocks // NESTED)), blocksize=NESTED, code=empty(NESTED), dtype=torch.float32)
        if nested
        else None,
    )
