"""What a config's `quantization_config` says of the stored weights."""

from collections.abc import Mapping
from typing import Any

_BY_METHOD = {"mxfp4": "mxfp4", "fp8": "fp8-e4m3", "fbgemm_fp8": "fp8-e4m3"}
_FOUR_BIT = ("gptq", "awq")
_GROUP = 128


def quantized_format(settings: Mapping[str, Any]) -> str | None:
    """
    The number format that `quant_method` stands for; None where it is none of those known, or its options differ.

    Source:   transformers 5.23 quantizers; GPTQ and AWQ as 4-bit integers with a scale for every 128.
    Ignores:  FP8's scales (one FP32 for 128 × 128 values), GPTQ's zero points and group index.
    """
    method = settings.get("quant_method")
    if not isinstance(method, str):
        return None
    if method in _FOUR_BIT and settings.get("bits") == 4 and settings.get("group_size") == _GROUP:
        return "int4-g128"
    return _BY_METHOD.get(method)
