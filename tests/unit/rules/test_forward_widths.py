"""How wide a block is without gradients, one part at a time."""

from dataclasses import replace

import pytest

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer, LayerRun, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.norm import Norm, NormKind
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace, StateSpaceKind
from vramcast.domain.run import AttentionKernel
from vramcast.domain.weights import linear
from vramcast.rules.forward_widths import Reading, Width, block_widths, mask_bytes

EAGER, SDPA, FLASH, CUDNN, EFFICIENT, MATH = AttentionKernel
D, N, K, H = 256, 8, 2, 64
Q, KV = N * H, K * H
GQA = Attention(heads=N, kv_heads=K, head_dim=H)
READING = Reading(asked=SDPA, capability=(8, 0), itemsize=2, seq_len=1000, single=False)


def widths(
    mixer: Mixer | None = None, ffn: Dense | MixtureOfExperts | None = None, reading: Reading = READING
) -> list[Width]:
    """All moments of a block of these parts but the norm."""
    return [width for _, width in block_widths(Layer(mixer=mixer, ffn=ffn, norms=()), D, reading)][1:]


def test_bytes_of_a_moment() -> None:
    """Tokens that are read, tokens in the cache, pairs of both."""
    assert Width("w", 3, 5, 7).bytes(10, 100, 1000) == 30 + 500 + 7000


@pytest.mark.parametrize("itemsize", [2, 4])
def test_a_norm_squares_in_fp32(itemsize: int) -> None:
    """The model's, the block's and the normed input, the FP32 input and its square."""
    (_, norm), *_ = block_widths(Layer(mixer=None, ffn=None, norms=()), D, READING._replace(itemsize=itemsize))
    assert norm == Width("norm", 3 * itemsize * D + 2 * 4 * D)


@pytest.mark.parametrize(
    ("ffn", "inside"),
    [
        (Dense(width=700), 3 * 700),
        (Dense(width=700, gated=False), 2 * 700),
        (MixtureOfExperts(experts=8, top_k=2, width=100), 2 * (D + 4 * 100)),
        (MixtureOfExperts(experts=8, top_k=3, width=100, gated=False), 3 * (D + 2 * 100)),
    ],
    ids=["gated", "plain", "experts", "plain experts"],
)
def test_feed_forward_parts(ffn: Dense | MixtureOfExperts, inside: int) -> None:
    """Four tensors of D are held meanwhile."""
    (width,) = widths(ffn=ffn)
    assert (width.token, width.key, width.pair) == (2 * (4 * D + inside), 0, 0)


@pytest.mark.parametrize(("kv_heads", "widest"), [(1, 4 * Q), (2, 4 * Q), (4, 4 * Q), (8, 5 * Q)])
def test_rotation_of_query_or_key(kv_heads: int, widest: int) -> None:
    """Four tensors of the query, or two of it and three of the key: the key's turn is wider with as many heads."""
    turning, _ = widths(replace(GQA, kv_heads=kv_heads))
    assert turning == Width("rotary embeddings", 2 * (3 * D + widest))


def test_without_rotation_only_the_kernel_counts() -> None:
    """Learned positions need nothing in attention."""
    assert [width.name for width in widths(replace(GQA, rotary=False))] == ["attention (flash)"]


def test_norms_of_the_query_are_fp32() -> None:
    """The query, its FP32 copy and the product, less keys and values that are not there yet."""
    width = widths(replace(GQA, qk_norms=(Norm(NormKind.RMS, H), Norm(NormKind.RMS, H))))[1]
    assert width == Width("norm of the query", 2 * 3 * D + (2 + 8) * Q - 2 * 2 * KV)


HELD = 2 * (3 * D + Q)  # before the kernel: three tensors of D, the turned query


@pytest.mark.parametrize(
    ("kernel", "token", "key", "pair"),
    [
        (FLASH, 2 * Q, 0, 0),
        (CUDNN, 2 * Q, 0, 0),
        (EFFICIENT, 2 * Q, 0, 0),
        (EAGER, 0, 2 * 2 * Q, (2 + 8) * N),
        (MATH, 8 * Q, 4 * 3 * Q, 8 * N),
    ],
)
def test_inside_each_kernel(kernel: AttentionKernel, token: int, key: int, pair: int) -> None:
    """Output; or repeated keys and values, and the scores of every head."""
    width = widths(GQA, reading=READING._replace(asked=kernel))[-1]
    assert width == Width(f"attention ({kernel})", HELD + token, key, pair)


def test_eager_attention_in_fp32_makes_no_fp32_copy() -> None:
    """Scores and softmax: 8 bytes a head and pair."""
    width = widths(replace(GQA, kv_heads=N), reading=READING._replace(asked=EAGER, itemsize=4))[-1]
    assert width == Width("attention (eager)", 2 * HELD, 0, 8 * N)


def test_a_mask_costs_repeated_heads() -> None:
    """A window that is full: keys and values are repeated, and the mask is turned into the query's type."""
    width = widths(replace(GQA, window=500))[-1]
    assert width == Width("attention (efficient)", HELD + 2 * Q, 2 * 2 * Q, 2)
    width = widths(replace(GQA, window=500, kv_heads=N))[-1]
    assert width == Width("attention (efficient)", HELD + 2 * Q, 0, 2)


def test_a_single_query_token_needs_no_repeated_heads() -> None:
    """Its heads are packed into the query; eager attention repeats all the same."""
    single = READING._replace(single=True)
    assert widths(replace(GQA, window=500), reading=single)[-1].key == 0
    assert widths(GQA, reading=single._replace(asked=EAGER))[-1].key == 2 * 2 * Q


def test_a_kernel_that_knows_windows_needs_no_mask() -> None:
    """Flash asked for by name: nothing a pair."""
    width = widths(replace(GQA, window=500), reading=READING._replace(asked=FLASH))[-1]
    assert (width.key, width.pair) == (0, 0)


def test_latent_attention_expands_the_whole_cache() -> None:
    """For each cached token N·(nope + value) and the whole key N·(nope + rope); query twice; output."""
    mla = LatentAttention(heads=N, kv_rank=32, q_rank=None, nope_dim=24, rope_dim=8, value_dim=16)
    (width,) = widths(mla)
    assert width.token == 2 * (3 * D + 2 * N * 32 + N * 16)
    assert width.key == 2 * (N * (24 + 16) + N * (24 + 8))


def test_recurrent_layers() -> None:
    """The layer's own account of a token; an mLSTM has none, so what its linears write."""
    mamba = StateSpace(variant=StateSpaceKind.MAMBA2, inner=100, state=7, conv_width=128, tail=4, heads=10)
    assert widths(mamba) == [Width("recurrent layer (mamba2)", 2 * (3 * D + 200 + 128 + 10))]
    parts = (*linear("q", 50, D), *linear("v", 100, D), *linear("out_proj", D, 100))
    mlstm = LinearAttention(variant=LinearKind.MLSTM, heads=2, key_dim=25, value_dim=50, parts=parts)
    assert widths(mlstm) == [Width("recurrent layer (mlstm)", 2 * (3 * D + 50 + 100 + D))]


def test_compressed_attention() -> None:
    """Query, turned query, output."""
    mixer = CompressedAttention(heads=N, head_dim=H, window=128)
    assert widths(mixer) == [Width("compressed attention", 2 * (3 * D + 3 * Q))]


def test_both_mixers_of_a_block_count() -> None:
    """Each has moments of its own, and says which cache it reads."""
    mamba = StateSpace(variant=StateSpaceKind.MAMBA2, inner=100, state=7, conv_width=128, tail=4, heads=10)
    layer = Layer(mixer=mamba, beside=replace(GQA, rotary=False), ffn=None, norms=())
    assert [mixer for mixer, _ in block_widths(layer, D, READING)] == [None, mamba, layer.beside]


def spec(*windows: int | None) -> ModelSpec:
    """A model with a layer for each window."""
    layers = tuple(LayerRun(Layer(mixer=replace(GQA, window=w), ffn=None, norms=()), 3) for w in windows)
    return ModelSpec(name="m", model_type="m", hidden_size=D, vocab_size=100, layers=layers)


def pairs(window: int | None) -> int:
    """Pairs of a layer: a million, or a thousand for each token of the window."""
    return 1_000_000 if window is None else 1000 * window


@pytest.mark.parametrize(
    ("asked", "windows", "size"),
    [
        (EAGER, (None,), 2 * 1_000_000),
        (EAGER, (None, 100), 2 * (1_000_000 + 100_000)),
        (EAGER, (100, 100), 2 * 100_000),
        (SDPA, (None,), 0),
        (SDPA, (None, 100), 100_000),
        (SDPA, (None, 1000), 1_000_000),
        (SDPA, (None, 1001), 0),
        (SDPA, (100, 200, None), 300_000),
        (FLASH, (None, 100), 0),
    ],
)
def test_one_mask_for_each_pattern(asked: AttentionKernel, windows: tuple[int | None, ...], size: int) -> None:
    """Eager: the query's type for the full pattern and each window; SDPA: a byte for each window that is full."""
    assert mask_bytes(spec(*windows), READING._replace(asked=asked), pairs) == size
