"""The model's own weights while training."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, TINY, model
from vramcast.catalog.number_formats import find_format
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.model import bare_model
from vramcast.domain.run import Adapter, Method, Offload, Precision, Quantization, TrainRun
from vramcast.domain.weights import WeightKind
from vramcast.rules.parameters import cached_casts, parameters, quantizable, quantized_parameters

LLAMA = model(LLAMA_8B)
PHI = 8_030_261_248
D, F, L, KV = 4096, 14336, 32, 1024
NF4, NF4_DQ = find_format("nf4"), find_format("nf4-dq")
MATRICES = {D * D: 2, D * KV: 2, D * F: 3}  # elements, and how many of them a layer has
LINEARS = L * sum(size * count for size, count in MATRICES.items())


@pytest.mark.parametrize(
    ("precision", "itemsize", "label"),
    [
        (Precision.FP32, 4, "weights (FP32)"),
        (Precision.BF16, 2, "weights (BF16)"),
        (Precision.FP16, 2, "weights (FP16)"),
        (Precision.AMP_BF16, 4, "weights (FP32)"),
        (Precision.AMP_FP16, 4, "weights (FP32)"),
    ],
)
def test_weights_by_precision(precision: Precision, itemsize: int, label: str) -> None:
    """s·Φ; autocast keeps FP32 weights."""
    (term,) = parameters(LLAMA, TrainRun(precision=precision))
    assert (term.bytes, term.label) == (itemsize * PHI, label)
    assert (term.category, term.phase) == (Category.PARAMETERS, Phase.RESIDENT)


@pytest.mark.parametrize(("precision", "word"), [(Precision.MASTER_BF16, "BF16"), (Precision.MASTER_FP16, "FP16")])
def test_a_master_is_a_second_copy(precision: Precision, word: str) -> None:
    """2·Φ to work with and 4·Φ to update."""
    working, master = parameters(LLAMA, TrainRun(precision=precision))
    assert (working.bytes, master.bytes) == (2 * PHI, 4 * PHI)
    assert (working.label, master.label) == (f"weights ({word} working copy)", "FP32 master weights")


def test_eight_bit_weights_have_a_scale_for_each_row() -> None:
    """A byte a weight and four bytes a row, in what is trained on and in what is served."""
    (term,) = parameters(LLAMA, qlora("int8"))
    rows = L * (2 * D + 2 * KV + 2 * F + D)
    assert term.bytes == LINEARS + 4 * rows + 2 * (PHI - LINEARS)
    assert sum(part.bytes for part in term.parts) == term.bytes


def test_a_master_can_be_on_the_host() -> None:
    """With the optimizer, leaving the working copy."""
    run = TrainRun(precision=Precision.MASTER_BF16, offload=Offload.OPTIMIZER)
    assert [term.bytes for term in parameters(LLAMA, run)] == [2 * PHI]


def test_frozen_weights_say_so() -> None:
    """LoRA on BF16."""
    (term,) = parameters(LLAMA, TrainRun(method=Method.LORA, adapter=Adapter()))
    assert (term.bytes, term.label) == (2 * PHI, "frozen weights (BF16)")


def qlora(name: str, *, upcast: bool = False) -> TrainRun:
    """A run on quantised weights."""
    quantization = Quantization(format=find_format(name), upcast=upcast)
    return TrainRun(method=Method.QLORA, adapter=Adapter(), quantization=quantization)


@pytest.mark.parametrize(("upcast", "rest"), [(False, 2), (True, 4)])
def test_nf4_with_a_scale_for_64_values(*, upcast: bool, rest: int) -> None:
    """Half a byte a value and an FP32 scale for 64; embeddings, head and norms in half precision or, upcast, FP32."""
    (term,) = parameters(LLAMA, qlora("nf4", upcast=upcast))
    quantised = LINEARS // 2 + LINEARS // 64 * 4
    assert term.bytes == quantised + rest * (PHI - LINEARS)
    assert [part.bytes for part in term.parts] == [quantised, rest * (PHI - LINEARS)]


def test_nf4_with_double_quantisation() -> None:
    """One byte for 64 values, an FP32 for 256 of those, and one FP32 offset a matrix."""
    (term,) = parameters(LLAMA, qlora("nf4-dq"))
    offsets = L * 7 * 4
    quantised = LINEARS // 2 + LINEARS // 64 + LINEARS // 16384 * 4 + offsets
    assert term.bytes == quantised + 2 * (PHI - LINEARS)


def test_scales_are_counted_matrix_by_matrix() -> None:
    """A matrix of 704 · 256 values has 2,816 scales, in 11 blocks of 256; one of 10 values has one scale."""
    tiny = model(TINY)
    (weight,) = [w for w in tiny.linears if w.name == "down_proj"]
    term = quantized_parameters(tiny, NF4_DQ, 2, "w", (weight,))
    count = weight.count
    assert (weight.numel, count) == (704 * 256, 4)
    each = 704 * 256 // 2 + 2816 + 11 * 4 + 4
    assert term.parts[0].bytes == count * each
    assert term.bytes == count * each + 2 * (tiny.parameters - count * 704 * 256)


def test_fused_experts_stay_as_they_are() -> None:
    """transformers quantises linear layers alone, so most of a mixture is not in 4 bits."""
    mixtral = model(TINY, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2)
    experts = sum(w.parameters for w in mixtral.weights if w.kind is WeightKind.EXPERTS)
    (term,) = parameters(mixtral, qlora("nf4"))
    assert experts == 4 * 4 * 3 * 256 * 704
    assert term.parts[1].bytes > 2 * experts
    assert term.parts[0].bytes == sum(NF4.bytes_for(w.numel) * w.count for w in mixtral.linears)


def test_a_bare_size_is_quantised_as_a_whole() -> None:
    """8·10⁹ values: 4 bits and an FP32 scale for 64 of them; nothing is known to stay."""
    (term,) = parameters(bare_model("8B", 8 * 10**9), qlora("nf4"))
    assert term.bytes == 8 * 10**9 // 2 + 8 * 10**9 // 64 * 4
    assert term.parts[1].bytes == 0


def test_tied_heads_are_stored_once() -> None:
    """Φ counts a tied matrix once, and so do the bytes."""
    tied = model(TINY, tie_word_embeddings=True)
    (once,), (twice,) = (parameters(spec, TrainRun()) for spec in (tied, model(TINY)))
    assert twice.bytes - once.bytes == 2 * 320 * 256


def test_copies_that_autocast_keeps() -> None:
    """Two bytes for each element that was cast."""
    term = cached_casts(1_000_000, Phase.BACKWARD)
    assert (term.bytes, term.category, term.phase) == (2_000_000, Category.PARAMETERS, Phase.BACKWARD)


def test_linears_outside_the_blocks_are_quantised() -> None:
    """Gemma 3n projects its per-layer inputs with a linear that belongs to no block."""
    outer = replace(LLAMA, extra=(*LLAMA.linears[:1],))
    (plain,), (more,) = (parameters(spec, qlora("nf4")) for spec in (LLAMA, outer))
    first = LLAMA.linears[0]
    assert more.parts[0].bytes - plain.parts[0].bytes == NF4.bytes_for(first.numel) * first.count


def test_a_family_with_linears_of_its_own_stays_as_it_is() -> None:
    """Falcon's are no plain linear layers, so nothing is quantised and all of it stays in half precision."""
    falcon = model(
        {
            "model_type": "falcon",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 320,
            "bias": False,
        }
    )
    (term,) = parameters(falcon, qlora("nf4"))
    assert quantizable(falcon) == ()
    assert term.bytes == 2 * falcon.parameters
    assert quantizable(LLAMA) == LLAMA.linears
