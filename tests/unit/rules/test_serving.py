"""Served models: weights, and the named instants of prefill and decode."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, TINY, model
from vramcast.catalog.gpus import find_device
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Instant, Phase
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import AttentionKernel, ServeRun
from vramcast.rules.serving import quantized_weights, served_weights, serving

LLAMA = model(LLAMA_8B)
PHI = 8_030_261_248
D, V, L, F = 4096, 128256, 32, 14336
BF16, NF4 = find_format("bf16"), find_format("nf4")
B, T = 4, 2048
RUN = ServeRun(weight_format=BF16, kv_format=BF16, max_model_len=T, max_num_seqs=B)
STACK = find_stack("transformers")
WORKSPACE = 8 * 2**20 + 128 * 2**10


def instants(run: ServeRun = RUN, spec: ModelSpec = LLAMA) -> dict[str, Instant]:
    """The instants by name."""
    return {instant.name: instant for instant in serving(spec, run, STACK, None).instants}


def of(instant: Instant, category: Category) -> list[int]:
    """Bytes of each term of a category."""
    return [term.bytes for term in instant.terms if term.category is category]


def test_the_moments_of_serving() -> None:
    """Two of prefill, three of decode; all hold weights, cache and the workspace."""
    named = instants()
    assert list(named) == [
        "prefill of all prompts",
        "logits of the first tokens",
        "appending to the cache",
        "decode at full length",
        "logits of the next tokens",
    ]
    for instant in named.values():
        assert of(instant, Category.PARAMETERS) == [2 * PHI]
        assert of(instant, Category.KV_CACHE) == [B * T * L * 2 * 1024 * 2]
        assert of(instant, Category.WORKSPACE) == [WORKSPACE]


def test_prefill_is_widest_in_the_mlp() -> None:
    """All B·T tokens in the gated MLP: four tensors of D, three of F."""
    prefill = instants()["prefill of all prompts"]
    assert of(prefill, Category.ACTIVATIONS) == [B * T * 2 * (4 * D + 3 * F)]
    assert prefill.phase is Phase.PREFILL
    assert of(prefill, Category.LOGITS) == []


def test_logits_follow_when_the_blocks_are_done() -> None:
    """The hidden state of every token, and logits of one token a sequence with their FP32 copy."""
    first = instants()["logits of the first tokens"]
    assert of(first, Category.ACTIVATIONS) == [B * T * D * 2]
    assert of(first, Category.LOGITS) == [B * V * (2 + 4)]


def test_decode_reads_one_token_of_each_sequence() -> None:
    """B tokens in the MLP beside the scores of the step before; logits add theirs; the cache grows by a copy of keys."""
    named = instants()
    assert of(named["decode at full length"], Category.ACTIVATIONS) == [B * 2 * (4 * D + 3 * F)]
    assert of(named["decode at full length"], Category.LOGITS) == [4 * B * V]
    assert of(named["logits of the next tokens"], Category.LOGITS) == [4 * B * V, B * V * (2 + 4)]
    assert of(named["appending to the cache"], Category.TEMPORARY) == [B * T * 1024 * 2]


def test_chunked_prefill_reads_fewer_tokens() -> None:
    """1,024 tokens a pass are 256 of each of four sequences."""
    prefill = instants(replace(RUN, prefill_tokens=1024))["prefill of all prompts"]
    assert of(prefill, Category.ACTIVATIONS) == [1024 * 2 * (4 * D + 3 * F)]


def test_chunks_are_not_longer_than_the_prompts() -> None:
    """More tokens a pass than there are change nothing."""
    assert instants(replace(RUN, prefill_tokens=10**6)) == instants()


def test_eager_prefill_holds_scores_of_every_pair() -> None:
    """10 bytes a head and pair, repeated keys and values, the query, and one mask for all layers."""
    prefill = instants(replace(RUN, attention=AttentionKernel.EAGER))["prefill of all prompts"]
    block = B * T * 2 * (3 * D + D) + B * T * 2 * 2 * D + B * T * T * 10 * 32
    assert of(prefill, Category.ACTIVATIONS) == [block, B * T * T * 2]


def test_eager_decode_repeats_the_cache_of_one_layer() -> None:
    """Every cached token is repeated for all heads, though one token is read."""
    decode = instants(replace(RUN, attention=AttentionKernel.EAGER))["decode at full length"]
    block = B * 2 * (3 * D + D) + B * T * 2 * 2 * D + B * T * 10 * 32
    assert of(decode, Category.ACTIVATIONS) == [block, B * T * 2]


def test_a_window_keeps_the_prompt_until_the_next_token() -> None:
    """After prefill the storage of a sliding layer is still the whole prompt; then the window alone."""
    mistral = model(LLAMA_8B, model_type="mistral", sliding_window=512)
    named = instants(RUN, mistral)
    token = 2 * 1024 * 2
    assert of(named["prefill of all prompts"], Category.KV_CACHE) == [B * L * T * token]
    assert of(named["decode at full length"], Category.KV_CACHE) == [B * L * 512 * token]


def test_states_are_held_beside_the_cache() -> None:
    """A model that only has states has no cache to speak of."""
    mamba = model(
        {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 320, "state_size": 16}
    )
    decode = instants(RUN, mamba)["decode at full length"]
    assert of(decode, Category.KV_CACHE) == [B * 2 * (128 * 16 * 4 + 128 * 4 * 2), 0]


def test_four_bit_weights_are_laid_out_for_many_tokens() -> None:
    """One matrix of the MLP in half precision during prefill, and in decode beyond four sequences."""
    named = instants(replace(RUN, weight_format=NF4))
    assert of(named["prefill of all prompts"], Category.TEMPORARY) == [2 * D * F]
    assert of(named["decode at full length"], Category.TEMPORARY) == []
    more = instants(replace(RUN, weight_format=NF4, max_num_seqs=5))
    assert of(more["decode at full length"], Category.TEMPORARY) == [2 * D * F]


def test_a_bare_size_has_weights_alone() -> None:
    """Without layers there is one instant: the weights."""
    served = serving(bare_model("8B", 8 * 10**9), RUN, STACK, None)
    assert [(instant.name, instant.allocated) for instant in served.instants] == [("weights loaded", 16 * 10**9)]
    assert served.no_reuse == 16 * 10**9


def test_the_workspace_follows_the_device() -> None:
    """One thread multiplies: 32 MiB on an H100."""
    named = {i.name: i for i in serving(LLAMA, RUN, STACK, find_device("h100-80gb")).instants}
    assert of(named["decode at full length"], Category.WORKSPACE) == [32 * 2**20]


def test_the_bound_without_reuse() -> None:
    """Prefill's and decode's blocks beside each other, or the largest instant."""
    served = serving(LLAMA, RUN, STACK, None)
    resident = 2 * PHI + B * T * L * 2 * 1024 * 2 + WORKSPACE
    blocks = (B * T + B) * 2 * (4 * D + 3 * F)
    assert served.no_reuse == resident + blocks
    assert served.no_reuse >= max(instant.allocated for instant in served.instants)


def test_activations_of_fp32_weights_are_fp32() -> None:
    """And those of 8-bit or 4-bit weights half precision."""
    wide = replace(RUN, weight_format=find_format("fp32"))
    assert of(instants(wide)["logits of the first tokens"], Category.LOGITS) == [B * V * (4 + 4)]
    narrow = replace(RUN, weight_format=find_format("fp8-e4m3"))
    assert of(instants(narrow)["logits of the first tokens"], Category.LOGITS) == [B * V * (2 + 4)]


@pytest.mark.parametrize(("dtype", "itemsize"), [("bf16", 2), ("fp32", 4)])
def test_a_checkpoint_as_stored_says_its_bytes(dtype: str, itemsize: int) -> None:
    """The headers' own sums, and activations in the model's format."""
    stored = replace(model(TINY), stored=(("bf16", 1000), ("fp32", 24)), dtype=dtype)
    run = replace(RUN, weight_format=None)
    term = served_weights(stored, run)
    assert (term.bytes, [part.bytes for part in term.parts]) == (1024, [1000, 24])
    assert of(instants(run, stored)["logits of the first tokens"], Category.LOGITS) == [B * 320 * (itemsize + 4)]


LINEARS = L * (2 * D * D + 2 * 1024 * D + 3 * D * F)


@pytest.mark.parametrize(("name", "size"), [("bf16", 2 * PHI), ("fp32", 4 * PHI), ("fp16", 2 * PHI)])
def test_whole_formats_multiply_the_parameters(name: str, size: int) -> None:
    """s·Φ."""
    assert served_weights(LLAMA, replace(RUN, weight_format=find_format(name))).bytes == size


@pytest.mark.parametrize(
    ("name", "bits"), [("nf4", 4 + 32 / 64), ("nf4-dq", 4 + 8 / 64 + 32 / 16384), ("int8", 8)], ids=str
)
def test_narrow_formats_leave_embeddings_and_head_in_half_precision(name: str, bits: float) -> None:
    """q·Φ_lin + 2·Φ_rest; scales of a tensor as a whole are a few bytes a matrix."""
    term = served_weights(LLAMA, replace(RUN, weight_format=find_format(name)))
    exact = bits / 8 * LINEARS + 2 * (PHI - LINEARS)
    assert exact <= term.bytes <= exact + 7 * L * 8192 * 8


def test_what_a_quantised_mixture_stores_in_fewer_bits() -> None:
    """bitsandbytes: linears; MXFP4: experts; FP8: both."""
    mixtral = model(TINY, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2)
    linears = {w.name for w in quantized_weights(mixtral, NF4)}
    assert linears == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert {w.name for w in quantized_weights(mixtral, find_format("mxfp4"))} == {"gate_up_proj", "down_proj"}
    assert {w.name for w in quantized_weights(mixtral, find_format("fp8-e4m3"))} == linears | {
        "gate_up_proj",
        "down_proj",
    }
    assert quantized_weights(LLAMA, find_format("mxfp4")) == LLAMA.linears
