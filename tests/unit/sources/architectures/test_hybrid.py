"""What the readers of recurrent and hybrid families make of a config, beyond its parameter count."""

from typing import Any

import pytest

from tests.hybrid_cases import BASE, CASES
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind, StateSpace, StateSpaceKind
from vramcast.domain.weights import WeightKind
from vramcast.sources.read import read_config

LETTERS = {Attention: "A", LatentAttention: "L", StateSpace: "S", LinearAttention: "R", type(None): "-"}


def read(model_type: str, **changes: Any) -> ModelSpec:
    """The tiny model of one type, with changes to its config."""
    return read_config(BASE | {"model_type": model_type} | CASES[model_type][0] | changes, "tiny")


def mixers(model: ModelSpec) -> str:
    """One letter a layer: attention, latent attention, state space, (other) recurrence, none."""
    return "".join(LETTERS[type(layer.mixer)] for layer in model.iter_layers())


def mixtures(model: ModelSpec) -> str:
    """One letter a layer: mixture, dense, none."""
    letters = {MixtureOfExperts: "M", Dense: "D", type(None): "-"}
    return "".join(letters[type(layer.ffn)] for layer in model.iter_layers())


@pytest.mark.parametrize(
    ("model_type", "changes", "kinds", "ffns"),
    [
        ("mamba", {}, "SSSS", "----"),
        ("jamba", {"num_hidden_layers": 8}, "SSASSSAS", "DMDMDMDM"),
        ("jamba", {"num_experts": 1}, "SSAS", "DDDD"),
        ("zamba", {}, "SSASSASSAS", "--D--D--D-"),
        ("zamba2", {}, "SASASSASASAS", "-D-D--D-D-D-"),
        ("bamba", {}, "SASA", "DDDD"),
        ("granitemoehybrid", {}, "SASA", "MMMM"),
        ("granitemoehybrid", {"num_local_experts": 0}, "SASA", "DDDD"),
        ("nemotron_h", {}, "S-A-S", "-M-D-"),
        ("nemotron_h", {"layers_block_type": None, "hybrid_override_pattern": "M-*E"}, "S-A-", "-D-M"),
        ("recurrent_gemma", {"num_hidden_layers": 5}, "RARAR", "DDDDD"),
        ("rwkv", {}, "RRRR", "DDDD"),
        ("lfm2", {}, "RARA", "DDDD"),
        ("lfm2_moe", {}, "RARA", "DMMM"),
        ("lfm3", {}, "RRARAR", "DDDDDD"),
        ("qwen3_next", {"mlp_only_layers": [1]}, "RRRA", "MDMM"),
        ("qwen3_5_text", {}, "RRRA", "DDDD"),
        ("olmo_hybrid", {"num_hidden_layers": 2}, "RA", "DD"),
        ("minimax", {}, "ARAR", "MMMM"),
        ("kimi_linear", {}, "RRRRLR", "DMMMMM"),
        ("bailing_hybrid", {}, "RRLRRL", "DDMMMM"),
    ],
)
def test_each_layer_is_what_its_family_says(model_type: str, changes: dict[str, Any], kinds: str, ffns: str) -> None:
    """Attention, recurrences, mixtures and plain MLPs stand where transformers puts them."""
    model = read(model_type, **changes)
    assert (mixers(model), mixtures(model)) == (kinds, ffns)


def test_weights_have_the_kinds_that_quantisers_and_adapters_see() -> None:
    """Projections are linears; convolutions, decays, norms, routers and experts are not."""
    kinds = {weight.name: weight.kind for weight in read("jamba").weights}
    assert {kinds[name] for name in ("in_proj", "x_proj", "dt_proj", "out_proj")} == {WeightKind.LINEAR}
    assert (kinds["conv1d"], kinds["A_log"], kinds["D"]) == (WeightKind.CONV, WeightKind.OTHER, WeightKind.OTHER)
    assert (kinds["dt_norm"], kinds["router"]) == (WeightKind.NORM, WeightKind.ROUTER)
    assert kinds["down_proj"] in {WeightKind.EXPERTS, WeightKind.LINEAR}


def test_zamba_stores_its_transformer_layer_once() -> None:
    """The first use holds tied matrices, later ones only the matrix that is their own; untied, each holds all."""
    first, second, third = _shared(read("zamba", tie_word_embeddings=True))
    assert (first.lends_weights, second.shares_weights, third.shares_weights) == (True, True, True)
    assert [weight.name for weight in second.weights(64)] == ["linear"]
    assert {weight.kind for weight in first.weights(64) if weight.name == "q_proj"} == {WeightKind.SHARED}
    assert not any(layer.shares_weights for layer in _shared(read("zamba")))


def test_zamba2_shares_its_layers_in_turn() -> None:
    """With two shared layers each is stored at its first use; every use has adapters of its own."""
    uses = _shared(read("zamba2", tie_word_embeddings=True, num_mem_blocks=2))
    assert [layer.shares_weights for layer in uses] == [False, False, True, True, True]
    assert all(sum(weight.name.startswith("gate_up_proj_adapter") for weight in layer.extra) == 2 for layer in uses)


def test_zamba_attends_to_hidden_state_and_embedding() -> None:
    """Query, key and value read twice the hidden size; the output projection writes it once."""
    (attention, *_) = (layer.mixer for layer in _shared(read("zamba")))
    shapes = {weight.name: weight.shape for weight in attention.weights(64)} if attention else {}
    assert shapes == {"q_proj": (128, 128), "k_proj": (64, 128), "v_proj": (64, 128), "o_proj": (64, 128)}


def test_falcon_h1_runs_both_mixers_in_one_block() -> None:
    """The block has a state-space layer with attention beside it, and one cache entry of each."""
    (run,) = read("falcon_h1").layers
    assert [type(mixer) for mixer in run.layer.mixers] == [StateSpace, Attention]


@pytest.mark.parametrize(
    ("model_type", "windows"), [("recurrent_gemma", {8}), ("lfm3", {256, None}), ("bamba", {None}), ("minimax", {None})]
)
def test_windows(model_type: str, windows: set[int | None]) -> None:
    """Sliding layers keep their window, full ones everything."""
    layers = read(model_type).iter_layers()
    assert {layer.mixer.window for layer in layers if isinstance(layer.mixer, Attention)} == windows


@pytest.mark.parametrize(
    ("model_type", "rotary"),
    [("jamba", False), ("zamba", False), ("nemotron_h", False), ("granitemoehybrid", False), ("bamba", True)],
)
def test_positions(model_type: str, rotary: bool) -> None:
    """Most hybrids leave positions to the recurrence."""
    layers = read(model_type).iter_layers()
    assert {layer.mixer.rotary for layer in layers if isinstance(layer.mixer, Attention)} == {rotary}


def test_nemotron_3_experts_work_in_a_latent_width() -> None:
    """Experts read and write the latent, projections lead there and back, the shared expert stays outside."""
    (ffn,) = (layer.ffn for layer in read("nemotron_h", moe_latent_size=32).iter_layers() if _is_mixture(layer))
    shapes = (
        {weight.name: weight.shape for weight in ffn.weights(64) if weight.kind is WeightKind.EXPERTS} if ffn else {}
    )
    assert shapes == {"up_proj": (6, 40, 32), "down_proj": (6, 32, 40)}


def test_lightning_state_has_the_models_format() -> None:
    """MiniMax and xLSTM keep their states in the model's format, the others in FP32."""
    formats = {kind: _recurrent(read(kind)).state_fp32 for kind in CASES}
    assert {kind for kind, fp32 in formats.items() if not fp32} == {"minimax", "xlstm"}


@pytest.mark.parametrize("model_type", CASES)
def test_the_last_linear_is_the_output_projection(model_type: str) -> None:
    """Rules find it there: it writes the hidden size."""
    parts = _recurrent(read(model_type)).parts
    assert [weight for weight in parts if weight.kind is WeightKind.LINEAR][-1].shape[0] == read(model_type).hidden_size


def test_variants_name_the_code_path() -> None:
    """Mamba 1 as Jamba or Zamba runs it is not the fused one."""
    assert _recurrent(read("jamba")).variant is StateSpaceKind.JAMBA
    assert _recurrent(read("falcon_mamba")).variant is StateSpaceKind.MAMBA
    assert _recurrent(read("qwen3_5_moe_text")).variant is LinearKind.GATED_DELTA_NET


def test_what_is_left_out_is_said() -> None:
    """An FP32 residual stream and layers that predict further tokens are noted."""
    assert any("residual" in note for note in read("mamba").notes)
    assert not read("mamba", residual_in_fp32=False).notes
    assert any("multi-token" in note for note in read("nemotron_h", num_nextn_predict_layers=1).notes)


@pytest.mark.parametrize(
    ("model_type", "change"),
    [
        ("mamba2", {"head_dim": 17}),
        ("mamba2", {"n_groups": 3}),
        ("jamba", {"attn_layer_offset": 4}),
        ("jamba", {"num_experts_per_tok": 5}),
        ("zamba", {"n_mamba_heads": 3}),
        ("zamba", {"attention_hidden_size": 64}),
        ("zamba2", {"num_key_value_heads": 3}),
        ("zamba2", {"layers_block_type": None}),
        ("bamba", {"mamba_d_head": 5}),
        ("granitemoehybrid", {"layer_types": ["mamba"]}),
        ("granitemoehybrid", {"layer_types": ["mamba", "conv", "mamba", "mamba"]}),
        ("nemotron_h", {"layers_block_type": None, "hybrid_override_pattern": "M?"}),
        ("nemotron_h", {"layers_block_type": [], "hybrid_override_pattern": ""}),
        ("recurrent_gemma", {"lru_width": 97}),
        ("recurrent_gemma", {"intermediate_size": 97}),
        ("lfm2", {"block_ffn_dim_multiplier": 1e200}),
        ("lfm2", {"block_ffn_dim_multiplier": -1}),
        ("lfm2_moe", {"layer_types": None}),
        ("qwen3_next", {"linear_num_key_heads": 4}),
        ("olmo_hybrid", {"num_hidden_layers": 1}),
        ("olmo_hybrid", {"linear_num_key_heads": 97}),
        ("kimi_linear", {"linear_attn_config": {"full_attn_layers": [1], "kda_layers": [3]}}),
        ("xlstm", {"qk_dim_factor": 0.001}),
        ("xlstm", {"weight_mode": "both"}),
        ("mamba", {"hidden_size": None}),
        ("mamba", {"num_hidden_layers": 2**40}),
    ],
    ids=str,
)
def test_impossible_configs_are_refused(model_type: str, change: dict[str, Any]) -> None:
    """What cannot be built is an input error, never an arithmetic one or a number."""
    with pytest.raises(InputError):
        read(model_type, **change)


def _shared(model: ModelSpec) -> list[Layer]:
    return [layer for layer in model.iter_layers() if isinstance(layer.mixer, Attention)]


def _is_mixture(layer: Layer) -> bool:
    return isinstance(layer.ffn, MixtureOfExperts)


def _recurrent(model: ModelSpec) -> StateSpace | LinearAttention:
    return next(
        mixer
        for layer in model.iter_layers()
        for mixer in layer.mixers
        if isinstance(mixer, StateSpace | LinearAttention)
    )
