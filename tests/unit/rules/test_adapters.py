"""Low-rank adapters: which matrices get them, how many elements and bytes they have."""

from dataclasses import replace

import pytest

from tests.models import LLAMA_8B, model
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Category
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Adapter, Method, Precision, Quantization, TrainRun
from vramcast.domain.weights import WeightKind
from vramcast.rules.adapters import adapted, adapter_weights, adapters

D, F, L, KV, V = 4096, 14336, 32, 1024, 128256  # Llama-3-8B: hidden, ffn width, layers, K·H, vocabulary
LLAMA = model(LLAMA_8B)
R = 16
MIXTRAL = model(LLAMA_8B, model_type="mixtral", num_local_experts=8, num_experts_per_tok=2)
QWEN3_MOE = model(
    LLAMA_8B, model_type="qwen3_moe", num_experts=8, num_experts_per_tok=2, moe_intermediate_size=768, head_dim=128
)
GPT2 = model(
    {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
)


def trained(spec: ModelSpec, *targets: str, rank: int = R, dora: bool = False) -> int:
    """Elements of the adapters on `targets`."""
    weights = adapter_weights(spec, Adapter(rank=rank, targets=targets, dora=dora))
    return sum(w.parameters for w in weights)


def test_every_matrix_gets_two_strips() -> None:
    """All seven linears of each layer: r·(d_in + d_out), q and o square, k and v to K·H, three of the MLP."""
    square, narrow, mlp = 2 * (D + D), 2 * (D + KV), 3 * (D + F)
    assert trained(LLAMA, "all-linear") == L * R * (square + narrow + mlp) == 41_943_040


@pytest.mark.parametrize(
    ("targets", "sides"),
    [
        (("q_proj",), D + D),
        (("q_proj", "v_proj"), D + D + D + KV),
        (("attention",), 2 * (D + D) + 2 * (D + KV)),
        (("mlp",), 3 * (D + F)),
        (("self_attn.o_proj", "gate_proj"), D + D + D + F),
        (("q_proj", "q_proj", "attention"), 2 * (D + D) + 2 * (D + KV)),
    ],
    ids=["+".join(t) for t in [("q",), ("q", "v"), ("attention",), ("mlp",), ("path", "gate"), ("twice",)]],
)
def test_targets_choose_matrices(targets: tuple[str, ...], sides: int) -> None:
    """Names, dotted paths and group words choose; naming a matrix twice adapts it once."""
    assert trained(LLAMA, *targets) == L * R * sides


def test_the_output_head_and_embeddings_are_never_adapted() -> None:
    """No adapter has a side as long as the vocabulary."""
    assert all(V not in w.shape for w in adapter_weights(LLAMA, Adapter(targets=("all-linear",))))


def test_dora_adds_a_magnitude_for_each_output() -> None:
    """The magnitudes of q (D) and k (K·H) come on top, as vectors."""
    assert trained(LLAMA, "q_proj", "k_proj", dora=True) == L * (R * (D + D + D + KV) + D + KV)
    shapes = {w.shape for w in adapter_weights(LLAMA, Adapter(targets=("k_proj",), dora=True))}
    assert shapes == {(R, D), (KV, R), (KV,)}


def test_a_name_with_two_meanings_adapts_both() -> None:
    """GPT-2 calls the output projections of attention (768²) and of the MLP (3072 → 768) c_proj."""
    assert trained(GPT2, "c_proj") == 12 * R * ((768 + 768) + (3072 + 768))
    assert trained(GPT2, "c_attn") == 12 * R * (768 + 3 * 768)


def test_the_family_settles_names_with_several_meanings() -> None:
    """StarCoder 2 calls only its MLP's output projection c_proj."""
    starcoder = model(LLAMA_8B, model_type="starcoder2")
    assert trained(starcoder, "c_proj") == L * R * (F + D)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens", "c_attn", "Q_PROJ", "", "x" * 100])
def test_a_name_that_is_no_linear_layer_is_refused(target: str) -> None:
    """The error names the target, shortened, and lists what there is."""
    with pytest.raises(InputError, match="no linear layer that can be adapted") as caught:
        trained(LLAMA, target)
    assert "q_proj" in caught.value.hint
    assert len(caught.value.what) < 120


def test_fused_experts_get_adapters_where_peft_finds_them() -> None:
    """Mixtral: E·r·(d_in + d_out) for down, 2·r for gate and up in one tensor, r for the router."""
    attention = 2 * (D + D) + 2 * (D + KV)
    experts = 8 * 2 * R * (D + 2 * F) + 8 * R * (F + D)
    router = R * (D + 8)
    assert trained(MIXTRAL, "all-linear") == L * (R * attention + experts + router)
    assert trained(MIXTRAL, "w1", "w2", "w3") == trained(MIXTRAL, "mlp") == L * experts
    assert trained(MIXTRAL, "attention") == L * R * attention


def test_shapes_of_adapters_on_fused_experts() -> None:
    """The ranks of all experts lie side by side in one matrix: A (E·r × d_in), B (d_out × E·r)."""
    shapes = [w.shape for w in adapter_weights(QWEN3_MOE, Adapter(rank=4, targets=("mlp",)))]
    assert shapes == [(8 * 2 * 4, D), (2 * 768, 8 * 2 * 4), (8 * 4, 768), (D, 8 * 4)]


@pytest.mark.parametrize("targets", [("w1", "w2"), ("w3",)])
def test_half_of_a_fused_pair_is_refused(targets: tuple[str, ...]) -> None:
    """Gate without up cannot be adapted where both are one tensor."""
    with pytest.raises(InputError, match="w1 and w3 are one tensor"):
        trained(MIXTRAL, *targets)


def test_a_linear_whose_name_became_experts_gets_none() -> None:
    """In DeepSeek V3 gate, up and down of the dense first layer and of shared experts go without."""
    deepseek = model(
        LLAMA_8B,
        model_type="deepseek_v3",
        num_hidden_layers=2,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=256,
        n_shared_experts=1,
        first_k_dense_replace=1,
    )
    experts = 4 * 2 * R * (D + 2 * 256) + 4 * R * (256 + D)
    assert trained(deepseek, "mlp") == experts
    assert {w.name for w in adapted(deepseek, ("all-linear",)).linears} == {
        "q_proj",
        "kv_a_proj",
        "kv_b_proj",
        "o_proj",
    }


@pytest.mark.parametrize("change", [{"dora": True}, {"dropout": 0.1}], ids=["DoRA", "dropout"])
def test_what_peft_cannot_do_on_fused_experts_is_refused(change: dict[str, bool | float]) -> None:
    """PEFT raises for DoRA and for dropout on bare parameters; attention alone is fine."""
    plain = Adapter(targets=("all-linear",))
    with pytest.raises(InputError, match="fused experts") as caught:
        adapter_weights(MIXTRAL, replace(plain, **change))
    assert "attention" in caught.value.hint
    assert adapter_weights(MIXTRAL, replace(plain, targets=("attention",), **change))


def test_mambas_output_projection_is_left_out() -> None:
    """PEFT refuses out_proj, which the fused kernel reads by itself; asked for by name it is an error."""
    mamba = model({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 320})
    names = {w.name for w in adapted(mamba, ("all-linear",)).linears}
    assert names == {"in_proj", "x_proj", "dt_proj"}
    with pytest.raises(InputError, match="out_proj"):
        adapted(mamba, ("out_proj",))


def test_a_matrix_that_several_blocks_share_is_left_out() -> None:
    """Adapters on shared matrices are not modelled, so Zamba 2's shared attention and MLP get none."""
    zamba = model(
        {
            "model_type": "zamba2",
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
            "num_mem_blocks": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 128,
            "mamba_d_state": 16,
            "n_mamba_heads": 8,
            "vocab_size": 320,
        }
    )
    assert any(w.kind is WeightKind.SHARED for w in zamba.weights)
    assert {w.name for w in adapted(zamba, ("all-linear",)).linears} == {"in_proj", "out_proj", "linear"}


LORA = TrainRun(method=Method.LORA, precision=Precision.BF16, adapter=Adapter(rank=R, targets=("q_proj", "v_proj")))


@pytest.mark.parametrize(
    ("fp32", "precision", "itemsize"),
    [(True, Precision.BF16, 4), (False, Precision.BF16, 2), (False, Precision.FP32, 4), (False, Precision.AMP_BF16, 4)],
)
def test_bytes_of_adapters(fp32: bool, precision: Precision, itemsize: int) -> None:
    """FP32 where PEFT upcasts them or the weights are FP32, else two bytes an element."""
    assert LORA.adapter is not None
    run = replace(LORA, precision=precision, adapter=replace(LORA.adapter, fp32=fp32))
    term = adapters(LLAMA, run)
    assert term.bytes == itemsize * L * R * ((D + D) + (D + KV))
    assert term.category is Category.PARAMETERS
    assert sum(part.bytes for part in term.parts) == term.bytes


def test_parts_name_each_kind_of_matrix() -> None:
    """Each part's formula, with its letters replaced, is its bytes."""
    run = replace(LORA, adapter=Adapter(rank=4, targets=("all-linear",)))
    parts = {part.label: part for part in adapters(MIXTRAL, run).parts}
    fused = parts["32 × gate_up_proj 8×28672×4096"]
    assert fused.formula == "4·32·(8·2·r·(d_in + d_out))"
    assert fused.bytes == 4 * 32 * (8 * 2 * 4 * (4096 + 28672))
    assert parts["32 × k_proj 1024×4096"].bytes == 4 * 32 * (4 * (4096 + 1024))


def test_quantised_bases_change_nothing() -> None:
    """Adapters of a QLoRA run have the bytes of the same LoRA run."""
    quantised = replace(LORA, method=Method.QLORA, quantization=Quantization(format=find_format("nf4")))
    assert adapters(LLAMA, quantised).bytes == adapters(LLAMA, LORA).bytes
