"""Bytes kept between forward and backward: the closed forms against real steps of transformers and PEFT, to the byte."""

from dataclasses import replace
from typing import Any

import pytest

from tests.dev.saved import Kept, kept_storages
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Adapter, AttentionKernel, Method, Precision, Quantization, Recompute, TrainRun
from vramcast.rules.blocks import lay_out
from vramcast.rules.logits import saved_logits
from vramcast.rules.saved.outer import outer_saved
from vramcast.rules.scene import set_scene
from vramcast.sources.read import read_config

B, T = 2, 32
INT64 = 8
LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 160,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
PLAIN = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
HEADED = LLAMA | {"head_dim": 16}
GPT: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 77, "vocab_size": 160}
GPT |= {"bos_token_id": 1, "eos_token_id": 2}
BOTH_KERNELS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "mistral": LLAMA | {"sliding_window": 99},
    "qwen2": LLAMA,
    "qwen3": HEADED,
    "gemma": HEADED,
    "gemma3_text": HEADED | {"sliding_window": 99},
    "phi": LLAMA,
    "phi3": LLAMA,
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_neox": PLAIN,
    "opt": PLAIN | {"ffn_dim": 160},
    "cohere": LLAMA,
    "cohere2": LLAMA | {"sliding_window": 99},
    "olmo": LLAMA,
    "olmo2": LLAMA,
    "olmo3": LLAMA | {"sliding_window": 99},
    "starcoder2": LLAMA | {"sliding_window": 99},
    "granite": LLAMA,
    "stablelm": LLAMA,
    "glm": HEADED,
    "glm4": HEADED,
    "nemotron": LLAMA,
    "smollm3": LLAMA,
    "exaone4": LLAMA | {"sliding_window": 99},
    "seed_oss": HEADED,
    "arcee": LLAMA,
    "ernie4_5": LLAMA,
}
EAGER_ONLY: dict[str, dict[str, Any]] = {
    "gemma2": HEADED,
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 160,
        "attention_types": [[["global", "local"], 1]],
    },
    "gptj": GPT | {"rotary_dim": 8},
    "falcon": PLAIN | {"bias": False},
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 160},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 160},
}
EAGER_ONLY["gpt_neo"] |= {"bos_token_id": 1, "eos_token_id": 2}
EXPERTS = LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2}
SMALL = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
LATENT = LLAMA | {
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
MIXTURES: dict[str, dict[str, Any]] = {
    "mixtral": EXPERTS,
    "qwen2_moe": LLAMA | SMALL | {"shared_expert_intermediate_size": 48, "norm_topk_prob": False},
    "qwen3_moe": HEADED | SMALL,
    "olmoe": LLAMA | {"num_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": EXPERTS | {"head_dim": 16},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "glm4_moe": HEADED | LATENT,
    "dots1": LATENT | {"norm_topk_prob": False},
}
ON_ATTENTION = Adapter(rank=8, targets=("q_proj", "o_proj"))
FLASH = {"attention": AttentionKernel.FLASH, "seq_len": T, "micro_batch": B}
EFFICIENT = FLASH | {"attention": AttentionKernel.EFFICIENT}
EAGER = FLASH | {"attention": AttentionKernel.EAGER}
FULL: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp32": {"precision": Precision.FP32},
    "amp": {"precision": Precision.AMP_BF16},
    "recomputed": {"recompute": Recompute.FULL},
}
LORA: dict[str, dict[str, Any]] = {
    "fp32-adapters": {"adapter": Adapter(rank=8)},
    "fp32-adapters-autocast": {"adapter": Adapter(rank=8), "autocast": True},
    "bf16-adapters": {"adapter": Adapter(rank=8, fp32=False)},
    "bf16-adapters-autocast": {"adapter": Adapter(rank=8, fp32=False), "autocast": True},
    "dropout": {"adapter": Adapter(rank=8, dropout=0.1)},
    "dropout-autocast": {"adapter": Adapter(rank=8, dropout=0.1), "autocast": True},
    "amp": {"adapter": Adapter(rank=8), "precision": Precision.AMP_BF16},
    "recomputed": {"adapter": Adapter(rank=8), "recompute": Recompute.FULL},
}
QLORA: dict[str, dict[str, Any]] = {
    f"{'upcast' if upcast else 'as-loaded'}-{name}": change
    | {"quantization": Quantization(format=find_format("nf4"), upcast=upcast)}
    for upcast in (False, True)
    for name, change in LORA.items()
    if name != "amp"
}


def runs(changes: dict[str, dict[str, Any]], base: dict[str, Any], **more: Any) -> list[Any]:
    """One parameter for each change of the base run; flash attention, which has no FP32, gives way to efficient."""
    method = more.get("method", Method.FULL)
    made = {name: TrainRun(**(base | change | more)) for name, change in changes.items()}
    efficient = {name: replace(run, attention=AttentionKernel.EFFICIENT) for name, run in made.items() if _in_fp32(run)}
    return [pytest.param(run, id=f"{method}-{name}") for name, run in (made | efficient).items()]


def _in_fp32(run: TrainRun) -> bool:
    upcast = run.quantization is not None and run.quantization.upcast and not run.autocast
    return run.attention is AttentionKernel.FLASH and (run.precision is Precision.FP32 or upcast)


def forecast(model_type: str, config: dict[str, Any], run: TrainRun) -> int:
    """Bytes that the rules say are kept, and the small terms of a whole step that stand elsewhere or nowhere."""
    model = read_config(config | {"model_type": model_type}, "tiny")
    scene = set_scene(model, run, find_stack("torch"), None)
    above = scene._replace(  # the step makes inputs require gradients
        blocks=lay_out(model, run, None, leaf=False),
        outer=outer_saved(model, scene.sizes, own_head=False, leaf=False),
    )
    blocks = above.kept + above.outer_bytes
    loss = saved_logits(scene.head._replace(held=False), run.loss)
    labels = INT64 * run.tokens + 4  # shifted labels, and the sum of the loss's weights
    return blocks + loss + labels + 2 * above.casts_held + _family_terms(model, run)


def _family_terms(model: ModelSpec, run: TrainRun) -> int:
    """What only one family keeps, and the rules leave out: index tensors, and a mask that all layers share."""
    kept = run.recompute is not Recompute.FULL
    match model.model_type:
        case "opt":
            return INT64 * run.tokens if run.method is Method.FULL else 0  # positions
        case "gpt2" if not kept and run.attention is AttentionKernel.EAGER:
            return run.precision.weight_itemsize * B * T * T  # the mask, an input of every block
        case "falcon":
            return 2 * INT64 * model.num_layers if kept else 0  # which heads are keys and values
        case "mpt":
            return B * T * T if kept else 0  # the mask
    return 0


def is_table(kept: Kept) -> bool:
    """Cosines, sines and positions: one row for all sequences."""
    return kept.shape[:1] == (1,) and T in kept.shape


def measured(model_type: str, config: dict[str, Any], run: TrainRun) -> int:
    """Bytes that a real step keeps, position tables left out."""
    storages = kept_storages(config | {"model_type": model_type}, run)
    return sum(kept.bytes for kept in storages if not is_table(kept))


@pytest.mark.parametrize("run", [*runs(FULL, FLASH), *runs(LORA, FLASH, method=Method.LORA)])
@pytest.mark.parametrize("model_type", BOTH_KERNELS)
def test_flash_attention_keeps_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Every method and precision keeps, with flash attention, exactly the forecast bytes."""
    config = BOTH_KERNELS[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(FULL, EAGER))
@pytest.mark.parametrize("model_type", BOTH_KERNELS | EAGER_ONLY)
def test_eager_attention_keeps_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Full training with eager attention keeps exactly the forecast bytes."""
    config = (BOTH_KERNELS | EAGER_ONLY)[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(LORA, EAGER, method=Method.LORA))
@pytest.mark.parametrize("model_type", EAGER_ONLY)
def test_adapters_beside_eager_attention_keep_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Adapters keep exactly the forecast bytes in the families that have no other attention."""
    config = EAGER_ONLY[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(FULL, EFFICIENT))
@pytest.mark.parametrize("model_type", ["mistral", "gemma3_text", "starcoder2", "olmo3"])
def test_masked_attention_keeps_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """A window shorter than the sequence keeps repeated keys and values and a mask in every layer that slides."""
    config = BOTH_KERNELS[model_type] | {"sliding_window": 16}
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(QLORA, FLASH, method=Method.QLORA))
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "phi3", "olmo2", "gemma3_text", "cohere", "opt"])
def test_adapters_on_four_bits_keep_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Adapters beside bitsandbytes' 4-bit layers keep exactly the forecast bytes, with an FP32 upcast or without."""
    config = BOTH_KERNELS[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(FULL, EAGER))
@pytest.mark.parametrize("model_type", MIXTURES)
def test_mixtures_keep_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Routers, experts and latent attention keep exactly the forecast bytes."""
    config = MIXTURES[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("run", runs(FULL, EFFICIENT))
@pytest.mark.parametrize("model_type", ["deepseek_v2", "deepseek_v3"])
def test_latent_attention_keeps_what_the_rules_say(model_type: str, run: TrainRun) -> None:
    """Latent attention, whose keys are wider than its values, keeps exactly the forecast bytes without eager attention too."""
    config = MIXTURES[model_type]
    assert measured(model_type, config, run) == forecast(model_type, config, run)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("model_type", ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "glm4_moe"])
def test_frozen_mixtures_keep_what_the_rules_say(model_type: str, autocast: bool) -> None:
    """Below adapters on attention, frozen routers and experts keep exactly the forecast bytes."""
    config = MIXTURES[model_type]
    run = TrainRun(method=Method.LORA, adapter=ON_ATTENTION, autocast=autocast, **EAGER)
    assert measured(model_type, config, run) == forecast(model_type, config, run)
