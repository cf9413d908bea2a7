"""What the readers of mixtures and of latent attention say about layers beyond their weights."""

from typing import Any

import pytest

from tests.dev.moe_configs import BASE, CASES
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.model import ModelSpec, run_length
from vramcast.domain.weights import WeightKind
from vramcast.sources.read import read_config

FOUR_SLIDING = {"layer_types": ["sliding_attention"] * 4}


def read(model_type: str, **changes: Any) -> ModelSpec:
    """The tiny model of one type, with changes to its config."""
    return read_config(BASE | CASES[model_type][0] | {"model_type": model_type} | changes, "tiny")


def feed_forward(model: ModelSpec) -> str:
    """One letter a layer: mixture or dense."""
    letters = {MixtureOfExperts: "M", Dense: "D"}
    return "".join(letters[type(layer.ffn)] for layer in model.iter_layers())


def attentions(model: ModelSpec) -> list[Attention]:
    """The attention of every layer."""
    found = [layer.mixer for layer in model.iter_layers()]
    assert all(isinstance(mixer, Attention) for mixer in found)
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def latents(model: ModelSpec) -> list[LatentAttention]:
    """The latent attention of every layer."""
    found = [layer.mixer for layer in model.iter_layers()]
    assert all(isinstance(mixer, LatentAttention) for mixer in found)
    return [mixer for mixer in found if isinstance(mixer, LatentAttention)]


def mixture(model: ModelSpec) -> MixtureOfExperts:
    """The mixture of the last layer."""
    ffn = model.layers[-1].layer.ffn
    assert isinstance(ffn, MixtureOfExperts)
    return ffn


@pytest.mark.parametrize("model_type", CASES)
def test_layers_are_run_length_encoded(model_type: str) -> None:
    """No two runs in a row hold the same layer, and they add up to the model's depth."""
    model = read(model_type)
    assert run_length(model.iter_layers()) == model.layers
    assert model.num_layers == {"deepseek_v4": 5, "longcat_flash": 6}.get(model_type, 4)


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("mixtral", {}, "MMMM"),
        ("qwen2_moe", {"decoder_sparse_step": 2}, "DMDM"),
        ("qwen3_moe", {"mlp_only_layers": [0, 2]}, "DMDM"),
        ("qwen3_moe", {"num_experts": 0}, "DDDD"),
        ("flint", {}, "DDMM"),
        ("mellum", {"mlp_layer_types": ["dense", "sparse", "sparse", "dense"]}, "DMMD"),
        ("deepseek_v2", {}, "MMMM"),
        ("deepseek_v3", {}, "DDDM"),
        ("deepseek_v3", {"first_k_dense_replace": 9}, "DDDD"),
        ("glm4_moe", {}, "DMMM"),
        ("glm4_moe_lite", {"first_k_dense_replace": 3}, "DMMM"),
        ("axk1", {"moe_layer_freq": 2}, "DDMD"),
        ("hy_v3", {}, "DMMM"),
        ("exaone_moe", {"first_k_dense_replace": 2}, "DDMM"),
        ("mimo_v2_flash", {}, "DMMM"),
        ("llama4_text", {"interleave_moe_layer_step": 2}, "DMDM"),
        ("llama4_text", {"moe_layers": [0, 3]}, "MDDM"),
        ("afmoe", {"num_dense_layers": 2}, "DDMM"),
        ("laguna", {}, "DMMM"),
        ("beam", {}, "DDDM"),
        ("ernie4_5_moe", {}, "DMMM"),
        ("ernie4_5_moe", {"moe_layer_start_index": 0, "moe_layer_end_index": 2, "moe_layer_interval": 2}, "DMDD"),
        ("cohere2_moe", {"first_k_dense_replace": 1}, "DMMM"),
        ("minimax_m3_vl_text", {"moe_layer_freq": [0, 1, 0, 1]}, "DMDM"),
        ("longcat_flash", {}, "MDMDMD"),
        ("step3p5", {}, "DDDM"),
        ("step3p5", {"moe_layers_enum": " 0, 2"}, "MDMD"),
        ("dots3_note_text", {"moe_layer_freq": [1, 1, 0, 1]}, "DMDM"),
        ("youtu", {}, "DDDD"),
    ],
)
def test_dense_layers_stand_where_the_family_puts_them(model_type: str, changes: dict[str, Any], expected: str) -> None:
    """First layers, every so many, listed ones: each family has its own way of saying which layers are dense."""
    assert feed_forward(read(model_type, **changes)) == expected


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("mixtral", {}, [None] * 4),
        ("mixtral", {"sliding_window": 8}, [8] * 4),
        ("phimoe", {"sliding_window": 8}, [8] * 4),
        ("granitemoe_swa", {}, [None, 128, 128, 128]),
        ("qwen2_moe", {"sliding_window": 8}, [None] * 4),
        ("qwen2_moe", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2}, [8, None, None, None]),
        ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 8}, [8] * 4),
        ("flint", {}, [None, None, 513, None]),
        ("kolibri1", {"sliding_window": 8}, [8] * 4),
        ("mellum", {}, [None] * 4),
        ("dots1", {"max_window_layers": 3}, [None, None, None, 4096]),
        ("exaone_moe", {"sliding_window": 8}, [8, 8, 8, None]),
        ("exaone_moe", {"sliding_window": None}, [None] * 4),
        ("gpt_oss", {}, [128, None, 128, None]),
        ("mimo_v2_flash", {}, [None, 129, 129, 129]),
        ("mimo_v2_flash", {"sliding_window_size": 8}, [None, 9, 9, 9]),
        ("llama4_text", {"attention_chunk_size": 8}, [8, 8, 8, None]),
        ("afmoe", {}, [1024, 1024, 1024, None]),
        ("laguna", FOUR_SLIDING, [512] * 4),
        ("beam", {}, [512, 512, 512, None]),
        ("cohere2_moe", {}, [4096, 4096, 4096, None]),
        ("cohere2_moe", {"first_k_dense_replace": 1, "sliding_window_pattern": 2}, [None, 4096, None, 4096]),
        ("step3p5", FOUR_SLIDING, [8] * 4),
    ],
)
def test_windows_stand_where_the_family_puts_them(
    model_type: str, changes: dict[str, Any], expected: list[int | None]
) -> None:
    """Sliding, chunked and full layers follow the family's pattern, its switches and its default window."""
    assert [mixer.window for mixer in attentions(read(model_type, **changes))] == expected


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("flint", {}, [False, False, True, False]),
        ("exaone_moe", {}, [True, True, True, False]),
        ("exaone_moe", {"sliding_window": None}, [True] * 4),
        ("afmoe", {}, [True, True, True, False]),
        ("beam", {}, [True, True, True, False]),
        ("beam", {"rope_parameters": {"full_attention": {"rope_type": "default"}}}, [True] * 4),
        ("llama4_text", {"no_rope_layers": [0, 1, 1, 0]}, [False, True, True, False]),
        ("cohere2_moe", {"first_k_dense_replace": 1}, [True, True, True, True]),
        ("cohere2_moe", {"first_k_dense_replace": 1, "prefix_dense_sliding_window_pattern": 2}, [True] * 4),
        ("cohere2_moe", {}, [True, True, True, False]),
    ],
)
def test_layers_without_rotary_embeddings(model_type: str, changes: dict[str, Any], expected: list[bool]) -> None:
    """Some families turn query and key only where the window is short."""
    assert [mixer.rotary for mixer in attentions(read(model_type, **changes))] == expected


def test_heads_of_sliding_layers() -> None:
    """MiMo doubles the KV heads of sliding layers and gives them sinks; Laguna lists heads; Step has a second number."""
    full, *sliding = attentions(read("mimo_v2_flash"))
    assert (full.kv_heads, full.sinks, full.value_width) == (2, False, 2 * 128)
    assert {(mixer.kv_heads, mixer.sinks) for mixer in sliding} == {(4, True)}
    laguna = attentions(read("laguna", num_attention_heads_per_layer=[4, 2, 2, 6]))
    assert [mixer.heads for mixer in laguna] == [4, 2, 2, 6]
    step = attentions(read("step3p5", **FOUR_SLIDING, attention_other_setting={"num_attention_heads": 6}))
    assert {mixer.heads for mixer in step} == {6}


def test_norms_without_weights_where_llama4_turns_query_and_key() -> None:
    """They save activations but hold no parameters, and full layers have none at all."""
    mixers = attentions(read("llama4_text"))
    assert [len(mixer.qk_norms) for mixer in mixers] == [2, 2, 2, 0]
    assert not mixers[0].qk_norms[0].weights


def test_latent_cache_of_deepseek_v3() -> None:
    """512 latent and 64 rotary features a token, whatever the heads; no indexer keeps anything beside them."""
    model = read("deepseek_v3", kv_lora_rank=512, qk_rope_head_dim=64)
    assert {(mixer.kv_rank + mixer.rope_dim, mixer.index_dim) for mixer in latents(model)} == {(576, 0)}
    assert latents(read("deepseek_v2", q_lora_rank=None))[0].q_rank is None


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("deepseek_v32", {}, [16, 16, 16, 16]),
        ("glm_moe_dsa", {}, [16, 16, 16, 16]),
        ("glm_moe_dsa", {"index_topk_freq": 2}, [16, 16, 0, 16]),
        ("glm_moe_dsa", {"index_topk_pattern": "FSSF"}, [16, 0, 0, 16]),
        ("glm_moe_dsa", {"indexer_types": ["full", "shared", "full", "shared"]}, [16, 0, 16, 0]),
        ("axk2", {}, [16, 16, 16, 16]),
        ("hy_v4", {}, [16, 16, 0, 0]),
        ("mistral_large4_text", {"index_topk_freq": 4}, [16, 16, 0, 0]),
        ("dots3_note_text", {}, [16, 16, 0, 0]),
    ],
)
def test_indexers_cache_a_key_of_their_own(model_type: str, changes: dict[str, Any], expected: list[int]) -> None:
    """A layer that shares an earlier layer's choice has no indexer and caches nothing for one."""
    assert [mixer.index_dim for mixer in latents(read(model_type, **changes))] == expected


def test_sparse_layers_of_minimax_m3_cache_an_index_key() -> None:
    """The published sub-table says which layers are sparse and how wide their index key is."""
    table = {"sparse_attention_freq": [0, 1, 1, 0], "sparse_index_dim": 24}
    mixers = attentions(read("minimax_m3_vl_text", sparse_attention_config=table))
    assert [mixer.index_dim for mixer in mixers] == [0, 24, 24, 0]


def test_latents_that_read_an_earlier_layer() -> None:
    """Mistral Large 4 names, for each layer, the one whose latent it reads; every fourth layer has no rotary key."""
    mixers = latents(read("mistral_large4_text", kv_source_layers=[0, 1, 0, 3]))
    assert [mixer.shares_kv for mixer in mixers] == [False, False, True, False]
    assert [(mixer.nope_dim, mixer.rope_dim) for mixer in mixers] == [(12, 8)] * 3 + [(20, 0)]


def test_compressed_cache_of_deepseek_v4() -> None:
    """A window whole, and one pooled entry for each `rate` tokens before it; entries of the indexer beside them."""
    model = read("deepseek_v4", compress_ratios=[0, 4, 128, 0, 4, 0], sliding_window=8)
    mixers = [layer.mixer for layer in model.iter_layers()]
    assert all(isinstance(mixer, CompressedAttention) for mixer in mixers)
    found = [(m.rate, m.index_dim, m.cache_elements(1000)) for m in mixers if isinstance(m, CompressedAttention)]
    sliding, sparse, heavy = (None, 0, 8 * 24), (4, 16, 8 * 24 + 250 * (24 + 16)), (128, 0, 8 * 24 + 7 * 24)
    assert found == [sliding, sparse, heavy, sliding, sparse]


@pytest.mark.parametrize(("model_type", "streams"), [("deepseek_v4", 4), ("hy_v4", 4), ("deepseek_v32", 1)])
def test_residual_streams(model_type: str, streams: int) -> None:
    """Hyper-connections widen what passes from block to block."""
    assert {layer.streams for layer in read(model_type).iter_layers()} == {streams}


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        ("mixtral", WeightKind.ROUTER),
        ("phimoe", WeightKind.ROUTER),
        ("llama4_text", WeightKind.ROUTER),
        ("afmoe", WeightKind.LINEAR),
        ("dbrx", WeightKind.LINEAR),
        ("hunyuan_v1_moe", WeightKind.LINEAR),
        ("jetmoe", WeightKind.LINEAR),
        ("longcat_flash", WeightKind.LINEAR),
    ],
)
def test_routers_that_quantisers_find(model_type: str, kind: WeightKind) -> None:
    """A plain nn.Linear is replaced and adapted; a bare parameter, and a linear of a kind of its own, is not."""
    assert {weight.kind for weight in read(model_type).weights if weight.name == "router"} == {kind}


def test_shared_experts() -> None:
    """One wide MLP that every token runs through, with a gate in Qwen2-MoE, or none where the config says 0."""
    qwen = mixture(read("qwen2_moe"))
    assert (qwen.shared, qwen.shared_gate) == (Dense(width=48), True)
    assert mixture(read("deepseek_v3", n_shared_experts=3)).shared == Dense(width=120)
    assert mixture(read("granitemoeshared")).shared is None
    assert mixture(read("ernie4_5_moe", moe_num_shared_experts=0)).shared is None


def test_experts_visited_by_layer() -> None:
    """Hunyuan may list how many experts each layer's tokens visit."""
    model = read("hunyuan_v1_moe", moe_topk=[1, 2, 2, 1])
    assert [layer.ffn.top_k for layer in model.iter_layers() if isinstance(layer.ffn, MixtureOfExperts)] == [1, 2, 2, 1]


def test_blocks_of_cohere_are_parallel() -> None:
    """Attention and mixture read the output of one norm."""
    assert all(layer.parallel and len(layer.norms) == 1 for layer in read("cohere2_moe").iter_layers())


def test_capped_logits_are_noted() -> None:
    """Beam and Mistral Large 4 cap logits unless the config says null, Beam in FP32."""
    for model_type in ("beam", "mistral_large4_text"):
        assert read(model_type).logits_capped
        assert read(model_type).logits_upcast is (model_type == "beam")
        assert not read(model_type, final_logit_softcapping=None).logits_capped
    assert not read("mixtral").logits_capped


@pytest.mark.parametrize("key", ["num_nextn_predict_layers", "num_mtp_modules"])
def test_layers_that_predict_further_tokens_are_left_out(key: str) -> None:
    """transformers builds none of them, so the count leaves them out, and says so."""
    plain, further = read("deepseek_v3"), read("deepseek_v3", **{key: 1})
    assert further.parameters == plain.parameters
    assert not plain.notes
    assert "multi-token-prediction" in further.notes[0]


def test_notes_on_longcat_and_deepseek_v4() -> None:
    """Rows that only transformers builds, and tables that are no parameters, are said aloud."""
    assert "zero experts" in read("longcat_flash").notes[0]
    assert not read("longcat_flash", zero_expert_num=0).notes
    assert "token tables" in read("deepseek_v4").notes[-1]
