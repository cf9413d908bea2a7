"""Our reading of safetensors headers against files that the safetensors library wrote."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vramcast.sources.safetensors import read_header

DTYPES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float8_e4m3fn: "fp8-e4m3",
    torch.float8_e5m2: "fp8-e5m2",
    torch.float8_e8m0fnu: "e8m0",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.int16: "int16",
    torch.int8: "int8",
    torch.uint64: "uint64",
    torch.uint32: "uint32",
    torch.uint16: "uint16",
    torch.uint8: "uint8",
    torch.bool: "bool",
    torch.complex64: "complex64",
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_library_and_header_agree(dtype: torch.dtype, tmp_path: Path) -> None:
    """Names, shapes, formats and bytes are those of the tensors that were saved, and the file has no surplus."""
    tensors = {
        "w": torch.zeros(3, 4).to(dtype),
        "scalar": torch.zeros(()).to(dtype),
        "none": torch.zeros(0, 2).to(dtype),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    header = read_header(tmp_path / "m.safetensors", "m")
    assert {tensor.name: (tensor.shape, tensor.bytes) for tensor in header.tensors} == {
        name: (tuple(tensor.shape), tensor.nbytes) for name, tensor in tensors.items()
    }
    assert {tensor.format for tensor in header.tensors} == {DTYPES[dtype]}
    assert header.surplus == 0


def test_packed_format_agrees(tmp_path: Path) -> None:
    """Two FP4 values share a byte: torch's shape counts bytes, the header's counts values."""
    packed = torch.zeros(3, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    save_file({"w": packed}, tmp_path / "m.safetensors")
    (tensor,) = read_header(tmp_path / "m.safetensors", "m").tensors
    assert (tensor.format, tensor.bytes, tensor.numel) == ("fp4-e2m1", packed.nbytes, 24)
