"""Blocks that real steps do not cover: two mixers, shared storage, and what no rule knows."""

from dataclasses import replace
from typing import Any

import pytest

from tests.models import TINY, model
from vramcast.catalog.number_formats import find_format
from vramcast.domain.attention import Attention
from vramcast.domain.errors import UnsupportedError
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer, LayerRun
from vramcast.domain.recurrent import StateSpace, StateSpaceKind
from vramcast.domain.run import Adapter, AttentionKernel, Method, Quantization, Recompute, TrainRun
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.rules.blocks import Block, lay_out, leaf_input
from vramcast.rules.saved.block import block_segments
from vramcast.rules.saved.tape import Tape, Value
from vramcast.rules.sizes import sizes_of

SPEC = model(TINY)
SIZES = sizes_of(SPEC, TrainRun(attention=AttentionKernel.FLASH), frozenset())
LLAMA = SPEC.layers[0].layer
D = SPEC.hidden_size

INT8 = Quantization(format=find_format("int8"))


def kept(layer: Layer) -> int:
    """Bytes per token that a block keeps."""
    return sum(
        saved.per_token
        for segment in block_segments(layer, SIZES, masked=False, recomputed=False, leaf=False)
        for saved in segment.saved
    )


def mamba(variant: StateSpaceKind) -> StateSpace:
    """A state-space mixer of 2·D."""
    parts = (*linear("in_proj", 4 * D, D), *linear("out_proj", D, 2 * D))
    return StateSpace(variant=variant, inner=2 * D, state=16, conv_width=2 * D, tail=3, dt_rank=16, parts=parts)


def test_each_of_two_mixers_keeps_its_own_input() -> None:
    """Mixers side by side read scaled copies of one norm: the input counts once for each."""
    alone = Layer(mixer=LLAMA.mixer, ffn=None, norms=LLAMA.norms[:1])
    other = Layer(mixer=mamba(StateSpaceKind.MAMBA2), ffn=None, norms=())
    both = replace(alone, beside=other.mixer)
    assert kept(both) == kept(alone) + kept(other)


def test_parallel_parts_share_their_input() -> None:
    """Attention and feed-forward part that read one norm keep its output once."""
    one = replace(LLAMA, norms=LLAMA.norms[:1])
    assert kept(replace(one, parallel=True)) == kept(LLAMA) - _norm_and_input()


def _norm_and_input() -> int:
    """The FP32 input, 1/rms and normed value of one norm, and what the linears read."""
    return 4 * D + 4 + 2 * D + 2 * D


@pytest.mark.parametrize(("variant", "input_kept"), [(StateSpaceKind.MAMBA2, 0), (StateSpaceKind.JAMBA, 2 * 2 * D)])
def test_only_fused_functions_leave_out_the_last_input(variant: StateSpaceKind, input_kept: int) -> None:
    """A function that contains the output projection makes its input again; else that linear keeps it."""
    mixer = mamba(variant)
    inner = 2 * mixer.saved_elements_per_token + 4 * mixer.saved_fp32_per_token
    assert kept(Layer(mixer=mixer, ffn=None, norms=())) == 2 * D + inner + input_kept


@pytest.mark.parametrize(
    "changes",
    [
        {"streams": 4},
        {"ffn": MixtureOfExperts(experts=4, top_k=2, width=8, latent=16)},
        {"ffn": MixtureOfExperts(experts=4, top_k=2, width=8, zero_experts=2)},
        {"extra": linear("between", 4, 4)},
        {"mixer": Attention(heads=4, kv_heads=4, head_dim=8, parts=(Weight("q", (4, 8, 8), WeightKind.EXPERTS),))},
    ],
)
def test_what_no_rule_knows_is_refused(changes: dict[str, Any]) -> None:
    """Hyper-connections, odd experts and an architecture's own layers raise, with a hint to serving, never a wrong number."""
    with pytest.raises(UnsupportedError, match="no rule says") as raised:
        kept(replace(LLAMA, **changes))
    assert "--method serve" in raised.value.hint


def test_a_view_keeps_its_whole_storage_once() -> None:
    """Two views of one tensor cost its storage, and no more when the tensor itself is kept too."""
    tape = Tape(SIZES)
    whole = Value(8, 2, "D")
    for part in (whole.view(3, "a"), whole.view(5, "b"), whole):
        tape.keep(part, "part")
    assert [saved.per_token for saved in tape.cut()] == [16]


def test_refusals_reach_the_model() -> None:
    """A model with one such layer cannot be laid out for training."""
    odd = replace(SPEC, layers=(LayerRun(replace(LLAMA, streams=2), 1),))
    with pytest.raises(UnsupportedError):
        lay_out(odd, TrainRun(method=Method.FULL), None, leaf=False)


def test_the_first_block_over_frozen_embeddings() -> None:
    """Its first norm keeps nothing, for what it reads needs no gradient; with recomputation inputs are made to need one."""
    run = TrainRun(method=Method.LORA, adapter=Adapter(rank=4, fp32=False), seq_len=8)
    first, rest = lay_out(SPEC, run, None, leaf=True)
    assert (first.layers, rest.layers) == (1, SPEC.num_layers - 1)
    assert rest.kept - first.kept == run.tokens * (4 * D + 4)
    assert leaf_input(run)
    assert not leaf_input(replace(run, recompute=Recompute.FULL))
    assert not leaf_input(replace(run, method=Method.FULL, adapter=None))


def test_eight_bit_layers_keep_their_inputs_past_checkpointing() -> None:
    """Frozen as they are, and where blocks are recomputed too; 4-bit ones keep nothing."""
    run = TrainRun(method=Method.QLORA, adapter=Adapter(), attention=AttentionKernel.FLASH)
    ffn = LLAMA.ffn
    assert isinstance(ffn, Dense)

    def block(name: str, recompute: Recompute) -> Block:
        made = replace(run, quantization=Quantization(format=find_format(name)), recompute=recompute)
        return lay_out(SPEC, made, None, leaf=False)[0]

    inputs = run.tokens * 2 * (2 * D + ffn.width)  # both norms' outputs, the product; the kernel keeps its own output
    four, eight = block("nf4", Recompute.NONE), block("int8", Recompute.NONE)
    assert eight.kept - four.kept == inputs
    four, eight = block("nf4", Recompute.FULL), block("int8", Recompute.FULL)
    assert eight.kept - four.kept == inputs + run.tokens * 2 * D
    assert eight.saved == four.saved
    assert sum(eight.rerun) - sum(four.rerun) == inputs
    older = lay_out(SPEC, replace(run, quantization=INT8, recompute=Recompute.FULL, reentrant=True), None, leaf=False)[
        0
    ]
    assert (older.kept, older.saved) == (four.kept, eight.rerun)
