"""States and saved elements of recurrent mixers, with numbers worked by hand."""

import pytest

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace, StateSpaceKind

SPACE = {"inner": 100, "state": 7, "conv_width": 128, "tail": 4, "heads": 10, "dt_rank": 5}
HEADS = {"heads": 6, "key_dim": 12, "value_dim": 20, "key_heads": 2, "conv_width": 168, "tail": 3}
K, V, C, N = 24, 120, 168, 6


def test_a_state_space_keeps_one_state_a_channel_and_its_tail() -> None:
    """The state is inner · state elements in FP32, the tail channels · tokens."""
    mixer = StateSpace(variant=StateSpaceKind.MAMBA2, **SPACE)
    assert (mixer.state_elements, mixer.conv_elements, mixer.state_fp32) == (700, 512, True)


@pytest.mark.parametrize(
    ("variant", "elements", "fp32", "fused"),
    [
        (StateSpaceKind.MAMBA, 300 + 5 + 28, 0, True),
        (StateSpaceKind.JAMBA, 700 + 10 + 28, 5 + 14 + 3, False),
        (StateSpaceKind.ZAMBA, 600 + 10 * (5 + 14), 0, False),
        (StateSpaceKind.MAMBA2, 200 + 128 + 10, 0, True),
    ],
)
def test_what_a_state_space_saves(variant: StateSpaceKind, elements: int, fp32: int, fused: bool) -> None:
    """Each family's code path has its own account; fused functions contain the output projection."""
    mixer = StateSpace(variant=variant, **SPACE)
    assert (mixer.saved_elements_per_token, mixer.saved_fp32_per_token, mixer.fused_output) == (elements, fp32, fused)


@pytest.mark.parametrize(
    ("variant", "state"),
    [
        (LinearKind.GATED_DELTA_NET, 12 * V),
        (LinearKind.KIMI_DELTA, 12 * V),
        (LinearKind.RG_LRU, 12 * V),
        (LinearKind.RWKV, 3 * 12 * V),
        (LinearKind.MLSTM, 12 * V + N * 13),
        (LinearKind.SHORT_CONV, 0),
    ],
)
def test_a_linear_attention_keeps_a_matrix_a_head(variant: LinearKind, state: int) -> None:
    """Value heads count, not key heads; RWKV keeps three numbers a channel, a short convolution none."""
    mixer = LinearAttention(variant=variant, **HEADS)
    assert (mixer.state_elements, mixer.conv_elements) == (state, 3 * C)


@pytest.mark.parametrize(
    ("variant", "elements", "fp32"),
    [
        (LinearKind.GATED_DELTA_NET, C + 2 * K + 3 * V + 65 * N, 3 * V + 4 * N + 2 * 2),
        (LinearKind.KIMI_DELTA, C + 3 * V + 129 * N + 2 * 12, 9 * V + 3 * N + V // 4),
        (LinearKind.BAILING_DELTA, C + 4 * V + 129 * N, 7 * V + 3 * N),
        (LinearKind.LIGHTNING, 12 * V + 64 * N + 12 * V // 64, V + 1),
        (LinearKind.RG_LRU, 14 * V, 2 * V),
        (LinearKind.RWKV, 4 * V + 2 * C, 0),
        (LinearKind.SHORT_CONV, 5 * V, 0),
    ],
)
def test_what_a_linear_attention_saves(variant: LinearKind, elements: int, fp32: int) -> None:
    """Each family's code path has its own account."""
    mixer = LinearAttention(variant=variant, **HEADS)
    assert (mixer.saved_elements_per_token, mixer.saved_fp32_per_token) == (elements, fp32)


def test_no_number_for_what_an_mlstm_saves() -> None:
    """An account that nobody made is an error, not a zero."""
    with pytest.raises(UnsupportedError, match="mLSTM"):
        _ = LinearAttention(variant=LinearKind.MLSTM, **HEADS).saved_elements_per_token
