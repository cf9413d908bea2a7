"""What `quantization_config` says of the stored weights."""

from typing import Any

import pytest

from vramcast.sources.quantization import quantized_format


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-e4m3"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4-g128"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4-g128"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, None),
        ({"quant_method": "gptq"}, None),
        ({"quant_method": "compressed-tensors"}, None),
        ({"quant_method": 4}, None),
        ({}, None),
    ],
    ids=str,
)
def test_only_known_methods_have_a_format(settings: dict[str, Any], expected: str | None) -> None:
    """A method, with the options that decide its bits, names a number format; anything else does not."""
    assert quantized_format(settings) == expected
