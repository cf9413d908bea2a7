"""Which attention kernel runs: the conditions of torch's dispatcher and of transformers around it."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, model
from tests.properties.grown_configs import grow
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.run import AttentionKernel
from vramcast.rules.attention_kernel import asked_attention, head_dims, is_masked, resolve_attention
from vramcast.sources.read import read_config

EAGER, SDPA, FLASH, CUDNN, EFFICIENT, MATH = AttentionKernel
MHA = Attention(heads=32, kv_heads=32, head_dim=128)
GQA = Attention(heads=32, kv_heads=8, head_dim=128)
MLA = LatentAttention(heads=128, kv_rank=512, q_rank=1536, nope_dim=128, rope_dim=64, value_dim=128)
T4, A100, RTX_4090, H100, B200, B300, RTX_5090 = (7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)
Mixer = Attention | LatentAttention


def resolved(
    mixer: Mixer, capability: tuple[int, int] | None, *, itemsize: int = 2, seq_len: int = 2048
) -> AttentionKernel:
    """What `sdpa` becomes."""
    return resolve_attention(SDPA, mixer, seq_len, itemsize, capability)


@pytest.mark.parametrize("asked", [EAGER, FLASH, CUDNN, EFFICIENT, MATH])
@pytest.mark.parametrize("mixer", [GQA, replace(GQA, sinks=True), MLA], ids=["gqa", "sinks", "mla"])
def test_a_named_kernel_is_taken_at_its_word(asked: AttentionKernel, mixer: Mixer) -> None:
    """Only `sdpa` leaves the choice open."""
    assert resolve_attention(asked, mixer, 2048, 2, T4) is asked


@pytest.mark.parametrize(
    ("capability", "kernel"),
    [(None, FLASH), (A100, FLASH), (RTX_4090, FLASH), (RTX_5090, FLASH), (H100, CUDNN), (B200, CUDNN), (B300, CUDNN)],
)
def test_half_precision_runs_flash_or_cudnn(capability: tuple[int, int] | None, kernel: AttentionKernel) -> None:
    """Hopper and Blackwell data-centre chips try cuDNN first, others flash; an unknown device is taken as modern."""
    assert resolved(GQA, capability) is kernel
    assert resolved(MHA, capability) is kernel


def test_fp32_has_no_flash() -> None:
    """FP32 runs efficient attention, or math where SDPA is to group the heads itself."""
    assert resolved(MHA, H100, itemsize=4) is EFFICIENT
    assert resolved(GQA, H100, itemsize=4) is MATH


def test_turing_has_no_flash() -> None:
    """Capability 7.5 runs efficient attention, or math for grouped heads."""
    assert resolved(MHA, T4) is EFFICIENT
    assert resolved(GQA, T4) is MATH


@pytest.mark.parametrize(
    ("head_dim", "capability", "kernel"),
    [
        (256, A100, FLASH),
        (264, A100, EFFICIENT),
        (128, H100, CUDNN),
        (256, H100, CUDNN),
        (264, H100, EFFICIENT),
        (128, B200, CUDNN),
        (136, B200, FLASH),
        (100, H100, FLASH),
        (100, T4, MATH),
    ],
)
def test_head_dims_have_limits(head_dim: int, capability: tuple[int, int], kernel: AttentionKernel) -> None:
    """Flash ends at 256, cuDNN at 128 (256 on Hopper); cuDNN and efficient want multiples of 8."""
    assert resolved(replace(MHA, head_dim=head_dim), capability) is kernel


def test_fp32_heads_are_multiples_of_four() -> None:
    """Efficient attention in FP32 takes a head dim of 100, not one of 98."""
    assert resolved(replace(MHA, head_dim=100), A100, itemsize=4) is EFFICIENT
    assert resolved(replace(MHA, head_dim=98), A100, itemsize=4) is MATH


@pytest.mark.parametrize(
    ("capability", "kernel"), [(A100, EFFICIENT), (RTX_5090, EFFICIENT), (H100, CUDNN), (B200, CUDNN), (B300, CUDNN)]
)
def test_latent_attention_has_heads_of_two_sizes(capability: tuple[int, int], kernel: AttentionKernel) -> None:
    """192 against 128: flash refuses, cuDNN takes them on Hopper (up to 256) and as DeepSeek's pair on Blackwell."""
    assert head_dims(MLA) == (192, 128)
    assert resolved(MLA, capability) is kernel


def test_another_pair_of_sizes_is_too_large_for_blackwell() -> None:
    """Only 192 with 128 is let through above 128."""
    assert resolved(replace(MLA, value_dim=64), B200) is EFFICIENT


@pytest.mark.parametrize(("window", "masked"), [(None, False), (2049, False), (2048, True), (512, True)])
def test_a_window_that_the_sequence_fills_passes_a_mask(window: int | None, *, masked: bool) -> None:
    """transformers skips the mask only where the sequence is shorter than the window, and flash takes no mask."""
    mixer = replace(GQA, window=window)
    assert is_masked(mixer, 2048) is masked
    assert resolved(mixer, A100) is (EFFICIENT if masked else FLASH)
    assert resolved(mixer, T4) is (EFFICIENT if masked else MATH)  # repeated heads need no grouping
    assert resolved(mixer, H100) is CUDNN  # which takes masks


@pytest.mark.parametrize("model_type", ["gptj", "bloom", "mpt", "gpt_oss", "gemma2"])
def test_families_without_sdpa_run_eager(model_type: str) -> None:
    """Their code has no SDPA, or none for sinks (gpt-oss) and capped scores (Gemma 2); a named kernel is left alone."""
    spec = read_config(grow(model_type).config, "grown")
    assert asked_attention(SDPA, spec) is EAGER
    assert asked_attention(FLASH, spec) is FLASH


def test_other_families_run_sdpa() -> None:
    """Llama has it."""
    assert asked_attention(SDPA, model(LLAMA_8B)) is SDPA


def test_head_dims_of_values_may_differ() -> None:
    """A value head is as long as a key head unless it says otherwise."""
    assert head_dims(GQA) == (128, 128)
    assert head_dims(replace(GQA, value_dim=64)) == (128, 64)
