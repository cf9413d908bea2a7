"""
The weights of bitsandbytes' layers on a device that stores nothing.

`Params4bit` and `Int8Params` quantise real numbers when they move, and no fake tensor can be one of them. In their place stand
plain parameters of the packed size, with the quantisation state that bitsandbytes keeps beside them.

Source: bitsandbytes 0.50 functional.py (`quantize_4bit`, `quantize_blockwise`, `QuantState`), nn/modules.py (`Linear8bitLt`),
backends/default/ops.py (`int8_mixed_scaled_mm`); PEFT 0.21 utils/integrations.py (`dequantize_module_weight`).
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from bitsandbytes.functional import QuantState, dequantize_4bit, int8_vectorwise_dequant
from bitsandbytes.nn.modules import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from peft.tuners.lora import dora
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

BLOCK = 64  # values that share a scale
NESTED = 256  # scales that share a scale of their own
LEVELS = 16  # of a 4-bit code
QUANTIZED = (Linear4bit, Linear8bitLt)


def place_weight(layer: nn.Module, device: str) -> None:
    """Give a layer of bitsandbytes, whose weight is on `meta` in the format it is quantised from, the packed one."""
    if isinstance(layer, Linear4bit):
        layer.weight = _packed(layer, device)
    elif isinstance(layer, Linear8bitLt):
        layer.weight = _bytes(layer, device)


def scales(model: nn.Module) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Each quantised weight with the tensors of its quantisation state, which are neither parameters nor buffers."""
    for layer in model.modules():
        if isinstance(layer, Linear8bitLt):
            yield layer.weight, [layer.state.SCB]  # type: ignore[list-item]
        elif isinstance(layer, Linear4bit):
            state: Any = layer.quant_state
            nested = (state.offset, state.state2.absmax, state.state2.code) if state.nested else ()
            yield layer.weight, [state.absmax, state.code, *nested]


def _packed(layer: Linear4bit, device: str) -> nn.Parameter:
    """Two values a byte."""
    old = layer.weight
    values = layer.in_features * layer.out_features
    weight = nn.Parameter(torch.empty((values + 1) // 2, 1, dtype=torch.uint8, device=device), requires_grad=False)
    state = _state(values, old, device)
    state.shape, state.dtype = torch.Size((layer.out_features, layer.in_features)), old.dtype
    weight.quant_state = state  # type: ignore[attr-defined]
    weight.compress_statistics = old.compress_statistics  # type: ignore[attr-defined]
    weight.quant_type = old.quant_type  # type: ignore[attr-defined]
    weight.bnb_quantized = True  # type: ignore[attr-defined]
    layer.quant_state = state
    return weight


def _state(values: int, old: Any, device: str) -> QuantState:
    def empty(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    blocks = -(-values // BLOCK)
    common = {"code": empty(LEVELS), "blocksize": BLOCK, "quant_type": old.quant_type}
    if not old.compress_statistics:
        return QuantState(absmax=empty(blocks), **common)
    scales = QuantState(absmax=empty(-(-blocks // NESTED)), blocksize=NESTED, code=empty(NESTED), dtype=torch.float32)
    return QuantState(absmax=empty(blocks, dtype=torch.uint8), offset=empty(), state2=scales, **common)


def _bytes(layer: Linear8bitLt, device: str) -> nn.Parameter:
    """A byte a value and a scale a row, as they are after the first pass."""
    shape = layer.out_features, layer.in_features
    weight = nn.Parameter(torch.empty(shape, dtype=torch.int8, device=device), requires_grad=False)
    weight.CB = weight.SCB = None  # type: ignore[attr-defined]
    weight.has_fp16_weights = False  # type: ignore[attr-defined]
    layer.state.CB = weight.data
    layer.state.SCB = torch.empty(layer.out_features, dtype=torch.float32, device=device)
    return weight


# What must know of the plain parameters.


def _int8_quant(A: Tensor, threshold: float = 0.0) -> tuple[Tensor, Tensor, Tensor | None]:  # noqa: N803
    """Rows in 8 bit with their scales; none of the columns is an outlier, since nobody knows the data."""
    rows = torch.empty(A.numel() // A.shape[-1], device=A.device, dtype=torch.float32)
    outliers = torch.empty(0, device=A.device, dtype=torch.int64) if threshold else None
    return torch.empty(A.shape, device=A.device, dtype=torch.int8), rows, outliers


def _int8_mixed(A: Tensor, CA: Tensor, CB: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: N803
    """The product, and the outliers' columns of the input: none."""
    product = torch.empty((*CA.shape[:-1], CB.shape[0]), device=A.device, dtype=A.dtype)
    return product, torch.empty(0, device=A.device, dtype=A.dtype)


def _dequantized(module: Any) -> Tensor:
    """The whole weight, as DoRA needs it; PEFT itself asks for the class of the weight, which is not bitsandbytes' here."""
    weight: Tensor = module.weight
    if isinstance(module, QUANTIZED) and weight.device.type == "meta":
        return torch.empty(module.out_features, module.in_features, device="meta")
    if isinstance(module, Linear4bit) and not isinstance(weight, Params4bit):
        return dequantize_4bit(weight.data, module.quant_state)
    if isinstance(module, Linear8bitLt) and not isinstance(weight, Int8Params):
        return int8_vectorwise_dequant(weight.data, module.state.SCB)  # type: ignore[no-any-return,arg-type]
    return dequantize_module_weight(module)


def register() -> None:
    """Tell torch and PEFT, and keep bitsandbytes from saying at every product that it casts. Once a process."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    torch.library.register_fake("bitsandbytes::int8_vectorwise_quant", _int8_quant, allow_override=True)
    torch.library.register_fake("bitsandbytes::int8_mixed_scaled_mm", _int8_mixed, allow_override=True)
    dora.dequantize_module_weight = _dequantized  # type: ignore[assignment,attr-defined]


register()
