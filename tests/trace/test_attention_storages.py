"""What each attention kernel allocates, and what of it the backward pass keeps: two sequences, four heads of 64, 50 tokens."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import AttentionKernel
from vramcast.trace.attention import attention_of
from vramcast.trace.session import tracing

BF16, FP32 = torch.bfloat16, torch.float32
B, H, T, D = 2, 4, 50, 64
OUT = 2 * B * H * T * D
SCORES = 4 * B * H * T * T
FLASH = "_scaled_dot_product_flash_attention"
CUDNN = "_scaled_dot_product_cudnn_attention"
EFFICIENT = "_scaled_dot_product_efficient_attention"
FLASH_KERNEL, CUDNN_KERNEL, EFFICIENT_KERNEL = AttentionKernel.FLASH, AttentionKernel.CUDNN, AttentionKernel.EFFICIENT
One = tuple[str, int]


class Seen(NamedTuple):
    """Operators and bytes: what one call made, in order, and what of it lives while its output does."""

    made: list[One]
    kept: list[One]


def attended(
    device: tuple[int, int] | None = None,
    forced: AttentionKernel | None = None,
    *,
    kv_heads: int = H,
    width: int = D,
    mask: torch.dtype | None = None,
    dropout: float = 0.0,
    dtype: torch.dtype = BF16,
    within: Callable[[], AbstractContextManager[Any]] = torch.enable_grad,
) -> Seen:
    """One call on the stand-in."""
    with tracing() as recorder, attention_of(device, forced):
        q = torch.empty(B, H, T, width, dtype=dtype, requires_grad=True)
        k, v = (torch.empty(B, kv_heads, T, width, dtype=dtype, requires_grad=True) for _ in range(2))
        bias = None if mask is None else torch.empty(B, 1, T, T, dtype=mask)
        began = recorder.now
        with within():
            out = scaled_dot_product_attention(q, k, v, bias, dropout, enable_gqa=kv_heads != H)
        record = recorder.timeline()
        del out
    made: list[One] = []
    alive: dict[int, One] = {}
    for born, number in record.events[began:]:
        block = record.blocks[number]
        if born:
            alive[number] = block.operator.removeprefix("aten.").partition(".")[0], block.bytes
            made.append(alive[number])
        else:
            del alive[number]
    return Seen(made, list(alive.values()))


RANDOM = {FLASH: [(FLASH, 16), (FLASH, 8)], CUDNN: [(CUDNN, 8)] * 2, EFFICIENT: [(EFFICIENT, 8)] * 2}


@pytest.mark.parametrize(
    ("device", "operator", "rows"),
    [((8, 0), FLASH, T), (None, FLASH, T), ((8, 9), FLASH, T), ((9, 0), CUDNN, T), ((10, 0), CUDNN, T)],
)
def test_a_kernel_that_never_holds_scores(device: tuple[int, int] | None, operator: str, rows: int) -> None:
    """The output, one FP32 a row, and the random state; nothing else, and all of it is kept."""
    made, kept = attended(device)
    assert made == [(operator, OUT), (operator, 4 * B * H * rows), *RANDOM[operator]]
    assert kept == made


def test_efficient_rounds_its_rows_up_to_32() -> None:
    """Its FP32 figures are of 64 rows for 50 tokens."""
    made, kept = attended((8, 0), EFFICIENT_KERNEL)
    assert made == kept == [(EFFICIENT, OUT), (EFFICIENT, 4 * B * H * 64), *RANDOM[EFFICIENT]]


def test_efficient_pads_a_mask_to_eight_columns() -> None:
    """A boolean mask becomes numbers of the query's type, padded from 50 to 56 columns; the padded one is kept."""
    made, kept = attended((8, 0), mask=torch.bool)
    assert made[:4] == [("full", 2)] * 2 + [("where", 2 * B * T * T), ("constant_pad_nd", 2 * B * T * 56)]
    assert [name for name, _ in made[4:]] == [EFFICIENT] * 4
    assert kept == made[3:]


def test_an_additive_mask_is_taken_as_it_is_by_cudnn() -> None:
    """No copy of it is made; a boolean one is turned into numbers, which are kept."""
    assert [name for name, _ in attended((9, 0), mask=BF16).made] == [CUDNN] * 4
    assert attended((9, 0), mask=torch.bool).kept[0] == ("where", 2 * B * T * T)


def test_flash_pads_heads_to_eight() -> None:
    """Queries, keys and values of 100 are copied to 104, and the output is as wide."""
    made, kept = attended((8, 0), width=100)
    padded = 2 * B * H * T * 104
    assert made[:4] == [("constant_pad_nd", padded)] * 3 + [(FLASH, padded)]
    assert kept == made


@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode])
def test_without_gradients_only_the_output_stays(within: Callable[[], AbstractContextManager[Any]]) -> None:
    """The same kernels are chosen under no_grad and inference_mode, and efficient makes no figures of rows."""
    for device, operator in (((8, 0), FLASH), ((9, 0), CUDNN)):
        seen = attended(device, within=within)
        assert {name for name, _ in seen.made} == {operator}
        assert seen.kept == [(operator, OUT)]
    seen = attended((8, 0), EFFICIENT_KERNEL, within=within)
    assert seen.made == [(EFFICIENT, OUT), *RANDOM[EFFICIENT]]


REFUSED = [
    (EFFICIENT_KERNEL, {"kv_heads": 2}, "efficient kernel does not run bfloat16 heads of 64 in groups of 2"),
    (EFFICIENT_KERNEL, {"width": 100}, "heads of 100"),
    (CUDNN_KERNEL, {"width": 136}, "cudnn kernel does not run bfloat16 heads of 136"),
    (CUDNN_KERNEL, {"dtype": FP32}, "float32"),
    (FLASH_KERNEL, {"mask": BF16}, "heads of 64 with a mask"),
    (FLASH_KERNEL, {"dtype": FP32}, "float32"),
]


@pytest.mark.parametrize(("kernel", "how", "says"), REFUSED)
def test_a_forced_kernel_that_has_no_code_for_a_call(kernel: AttentionKernel, how: Any, says: str) -> None:
    """Torch says that no kernel is available; so do we, and what it was asked to run."""
    with pytest.raises(UnsupportedError) as caught:
        attended((8, 0), kernel, **how)
    assert says in caught.value.what
    assert caught.value.hint == "--attention sdpa"
