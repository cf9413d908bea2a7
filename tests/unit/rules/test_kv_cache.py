"""Caches of keys and values, and states that do not grow, worked by hand."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, model
from vramcast.catalog.number_formats import find_format
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.layer import Layer, LayerRun, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace, StateSpaceKind
from vramcast.domain.run import ServeRun
from vramcast.rules.kv_cache import growing_cache, held_tokens, kv_cache, recurrent_state

BF16, FP8 = find_format("bf16"), find_format("fp8-e4m3")
RUN = ServeRun(kv_format=BF16, max_model_len=4096, max_num_seqs=3)
B, T, ITEM = 3, 4096, 2
GQA = Attention(heads=32, kv_heads=8, head_dim=128)
LOCAL = replace(GQA, window=1024)
MLA = LatentAttention(heads=16, kv_rank=512, q_rank=None, nope_dim=128, rope_dim=64, value_dim=128)


def of(*mixers: tuple[Mixer, int], beside: Mixer | None = None) -> ModelSpec:
    """A model of blocks that only mix."""
    layers = tuple(LayerRun(Layer(mixer=mixer, ffn=None, norms=(), beside=beside), count) for mixer, count in mixers)
    return ModelSpec(name="m", model_type="m", hidden_size=4096, vocab_size=100, layers=layers)


def size(spec: ModelSpec, run: ServeRun = RUN, read: int = 1) -> int:
    """Bytes of the cache."""
    return kv_cache(spec, run, read).bytes


def test_keys_and_values_of_every_token() -> None:
    """B·L·T·2·K·H elements; Llama-3-8B keeps 128 KiB a token."""
    assert size(model(LLAMA_8B)) == B * 32 * T * 2 * 8 * 128 * ITEM
    assert size(model(LLAMA_8B), replace(RUN, max_model_len=1, max_num_seqs=1)) == 128 * 1024


KEPT: dict[str, tuple[Mixer, int]] = {
    "grouped": (GQA, T * 2 * 8 * 128),
    "one key head": (replace(GQA, kv_heads=1), T * 2 * 128),
    "narrow values": (replace(GQA, value_dim=64), T * 8 * (128 + 64)),
    "indexer": (replace(GQA, index_dim=32), T * (2 * 8 * 128 + 32)),
    "shared": (replace(GQA, shares_kv=True), 0),
    "shared, indexer": (replace(GQA, shares_kv=True, index_dim=32), T * 32),
    "window": (LOCAL, 1024 * 2 * 8 * 128),
    "window longer than T": (replace(LOCAL, window=5000), T * 2 * 8 * 128),
    "latent": (MLA, T * (512 + 64)),
    "latent, indexer": (replace(MLA, index_dim=128), T * (512 + 64 + 128)),
    "latent, shared": (replace(MLA, shares_kv=True, index_dim=128), T * 128),
    "latent, window": (replace(MLA, window=100), 100 * (512 + 64)),
}


@pytest.mark.parametrize(("mixer", "elements"), KEPT.values(), ids=KEPT)
def test_what_each_kind_of_layer_keeps(mixer: Mixer, elements: int) -> None:
    """Two layers of one kind, three sequences, two bytes an element."""
    assert size(of((mixer, 2))) == B * 2 * elements * ITEM


def test_windows_and_global_layers_are_summed_apart() -> None:
    """Five of six layers keep 1,024 tokens: parts say how much each kind keeps."""
    term = kv_cache(of((LOCAL, 5), (GQA, 1)), RUN)
    token = 2 * 8 * 128 * ITEM
    assert [part.bytes for part in term.parts] == [B * 5 * 1024 * token, B * 1 * T * token]
    assert term.bytes == B * (5 * 1024 + T) * token
    assert (term.category, term.phase) == (Category.KV_CACHE, Phase.RESIDENT)


@pytest.mark.parametrize(
    ("tokens", "read", "held"),
    [
        (10, 10, 10),
        (4096, 1, 1024),
        (4096, 8, 1031),
        (4096, 4096, 4096),
        (4096, 3000, 4023),
        (1024, 1, 1024),
        (900, 1, 900),
    ],
)
def test_a_window_holds_its_past_and_what_the_last_pass_read(tokens: int, read: int, held: int) -> None:
    """min(T, window - 1 + c): the window while tokens are generated, the whole prompt after prefill."""
    assert held_tokens(1024, tokens, read) == held
    assert held_tokens(None, tokens, read) == tokens
    run = replace(RUN, max_model_len=tokens, max_num_seqs=1)
    assert size(of((LOCAL, 1)), run, read) == held * 2 * 8 * 128 * ITEM


def test_two_mixers_side_by_side_keep_both() -> None:
    """Falcon-H1 runs attention beside a state-space layer: the cache is that of attention alone."""
    space = StateSpace(variant=StateSpaceKind.MAMBA2, inner=64, state=16, conv_width=96, tail=4)
    spec = of((space, 2), beside=GQA)
    assert size(spec) == B * 2 * T * 2 * 8 * 128 * ITEM
    state = recurrent_state(spec, RUN)
    assert state is not None
    assert state.bytes == B * 2 * (64 * 16 * 4 + 96 * 4 * ITEM)


def test_a_cache_in_eight_bits() -> None:
    """FP8 halves it; scales, one a tensor at most, are not counted by this format."""
    assert size(of((GQA, 2)), replace(RUN, kv_format=FP8)) * 2 == size(of((GQA, 2)))


def test_models_without_attention_have_no_cache() -> None:
    """A state is not a cache."""
    conv = LinearAttention(variant=LinearKind.SHORT_CONV, heads=1, key_dim=1, value_dim=64, conv_width=64, tail=3)
    assert kv_cache(of((conv, 4)), RUN).bytes == 0
    assert kv_cache(of((conv, 4)), RUN).parts == ()


@pytest.mark.parametrize(("fp32", "itemsize"), [(True, 4), (False, 2)])
def test_states_are_fp32_unless_they_are_not(*, fp32: bool, itemsize: int) -> None:
    """State I·S in FP32 or the model's format, convolution tail always in the latter; T does not matter."""
    space = StateSpace(variant=StateSpaceKind.MAMBA, inner=100, state=16, conv_width=100, tail=4, state_fp32=fp32)
    term = recurrent_state(of((space, 7)), RUN)
    assert term is not None
    assert term.bytes == B * 7 * (100 * 16 * itemsize + 100 * 4 * ITEM)
    assert recurrent_state(of((space, 7)), replace(RUN, max_model_len=1)) == term


def test_states_are_never_below_sixteen_bits() -> None:
    """An FP8 cache format does not apply to them."""
    space = StateSpace(variant=StateSpaceKind.MAMBA, inner=100, state=16, conv_width=100, tail=4)
    assert recurrent_state(of((space, 1)), replace(RUN, kv_format=FP8)) == recurrent_state(of((space, 1)), RUN)


def test_attention_alone_has_no_state() -> None:
    """No term, not one of zero bytes."""
    assert recurrent_state(of((GQA, 1)), RUN) is None


@pytest.mark.parametrize(
    ("mixers", "elements"),
    [
        ([(GQA, 4)], T * 8 * 128),
        ([(replace(GQA, value_dim=256), 1)], T * 8 * 256),
        ([(LOCAL, 4)], 1024 * 2 * 8 * 128),
        ([(LOCAL, 4), (GQA, 1)], T * 8 * 128),
        ([(replace(LOCAL, window=3000), 1), (GQA, 1)], 3000 * 2 * 8 * 128),
        ([(MLA, 2)], T * 512),
        ([(replace(GQA, shares_kv=True), 2)], 0),
    ],
    ids=["keys", "wider values", "window", "both", "wide window", "latent", "shared"],
)
def test_appending_copies_one_layer(mixers: list[tuple[Mixer, int]], elements: int) -> None:
    """Old keys beside new ones, or keys and values of a window: that of one layer, whatever L."""
    term = growing_cache(of(*mixers), RUN)
    assert term.bytes == B * elements * ITEM
    assert (term.category, term.phase) == (Category.TEMPORARY, Phase.DECODE)
