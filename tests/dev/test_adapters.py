"""Adapters against what PEFT really adds: shapes, counts and number formats of the trainable tensors."""

import warnings
from collections import Counter
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.transformers_weight_conversion import _MODEL_TO_CONVERSION_PATTERN, _MOE_TARGET_MODULE_MAPPING
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from tests.dev.tiny_configs import TINY
from vramcast.domain.errors import InputError
from vramcast.domain.run import Adapter, Method, Precision, TrainRun
from vramcast.rules.adapters import adapter_weights, adapters
from vramcast.rules.peft_families import former_names
from vramcast.sources.read import read_config
from vramcast.sources.registry import readers

Shapes = Counter[tuple[int, ...]]
RANK = 4
REFUSED = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h")
ELSEWHERE = {
    "deepseek_v4": "training it is not modelled",
    "longcat_flash": "rows of experts that nothing reads are counted as a tensor of their own",
}


def built(config: dict[str, Any]) -> PreTrainedModel:
    """A BF16 model on the current device."""
    own = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **own), dtype=torch.bfloat16)


def with_adapters(
    model: PreTrainedModel, targets: str | list[str], *, autocast: bool = True, **options: Any
) -> PeftModel:
    """The model with PEFT's adapters of rank 4."""
    meta = model.device.type == "meta"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lora = LoraConfig(r=RANK, target_modules=targets, task_type="CAUSAL_LM", **options)
        return get_peft_model(model, lora, low_cpu_mem_usage=meta, autocast_adapter_dtype=autocast)


def adapted_by_peft(config: dict[str, Any], targets: str | list[str], **options: Any) -> PeftModel:
    """A model on the meta device with adapters."""
    with torch.device("meta"):
        model = built(config)
    return with_adapters(model, targets, **options)


def trained(model: nn.Module) -> Shapes:
    """Shapes of the trainable tensors."""
    return Counter(tuple(p.shape) for p in model.parameters() if p.requires_grad)


def ours(config: dict[str, Any], *targets: str, dora: bool = False) -> Shapes:
    """Shapes that the rule gives."""
    shapes: Shapes = Counter()
    for weight in adapter_weights(read_config(config, "tiny"), Adapter(rank=RANK, targets=targets, dora=dora)):
        shapes[weight.shape] += weight.count
    return shapes


def elements(shapes: Shapes) -> int:
    """Elements of all tensors."""
    return sum(torch.Size(shape).numel() * count for shape, count in shapes.items())


@pytest.mark.parametrize("model_type", [name for name in TINY if name not in ELSEWHERE and name not in REFUSED])
def test_all_linear_is_what_peft_adapts(model_type: str) -> None:
    """Every tensor of `all-linear`: linears, fused experts where PEFT finds them, routers that are linears."""
    assert ours(TINY[model_type], "all-linear") == trained(adapted_by_peft(TINY[model_type], "all-linear"))


def test_zero_experts_add_up() -> None:
    """LongCat's experts that nothing reads are rows of one tensor; counted apart, the sum is the same."""
    config = TINY["longcat_flash"]
    assert elements(ours(config, "all-linear")) == elements(trained(adapted_by_peft(config, "all-linear")))


@pytest.mark.parametrize("model_type", REFUSED)
def test_peft_refuses_mambas_output_projection(model_type: str) -> None:
    """`all-linear` is an error there; the rule means all that PEFT takes, and naming out_proj is an error here too."""
    config = TINY[model_type]
    with pytest.raises(ValueError, match="out_proj"):
        adapted_by_peft(config, "all-linear")
    with pytest.raises(InputError, match="out_proj"):
        ours(config, "out_proj")
    with torch.device("meta"):
        modules = built(config).named_modules()
    linears = {path.rpartition(".")[2] for path, module in modules if isinstance(module, nn.Linear)}
    others = sorted(linears - {"out_proj", "lm_head"})
    assert ours(config, "all-linear") == trained(adapted_by_peft(config, others))


LLAMA, MIXTRAL = TINY["llama"], TINY["mixtral"]


@pytest.mark.parametrize(
    ("model_type", "targets", "count"),
    [
        ("llama", ["q_proj"], 7 * 4 * (64 + 64)),
        ("llama", ["q_proj", "v_proj"], 7 * 4 * (64 + 64 + 64 + 32)),
        ("llama", ["q_proj", "k_proj", "v_proj", "o_proj"], 7 * 4 * 2 * (64 + 64 + 64 + 32)),
        ("llama", ["gate_proj", "up_proj", "down_proj"], 7 * 4 * 3 * (64 + 160)),
        ("gpt2", ["c_attn"], 3 * 4 * (64 + 192)),
        ("gpt2", ["c_attn", "c_proj", "c_fc"], 3 * 4 * ((64 + 192) + (64 + 64) + (256 + 64) + (64 + 256))),
        ("phi3", ["qkv_proj"], 7 * 4 * (64 + 64 + 2 * 32)),
        ("phi3", ["gate_up_proj"], 7 * 4 * (64 + 2 * 160)),
        ("falcon", ["query_key_value"], 7 * 4 * (64 + 64 + 2 * 16)),
        ("mixtral", ["q_proj", "v_proj"], 4 * 4 * (64 + 64 + 64 + 32)),
        ("mixtral", ["w1", "w2", "w3"], 4 * 6 * (8 * (64 + 2 * 96) + 4 * (96 + 64))),
        ("mixtral", ["q_proj", "w2"], 4 * (4 * (64 + 64) + 6 * 4 * (96 + 64))),
        ("qwen3_moe", ["gate_proj", "up_proj", "down_proj"], 4 * 6 * (8 * (64 + 2 * 40) + 4 * (40 + 64))),
        ("deepseek_v3", ["kv_a_proj_with_mqa"], 4 * 4 * (64 + 32 + 8)),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_counts_by_name(model_type: str, targets: list[str], count: int) -> None:
    """Targets by the framework's own names: PEFT's count, the rule's, and the arithmetic agree."""
    config = TINY[model_type]
    real = trained(adapted_by_peft(config, targets))
    assert ours(config, *targets) == real
    assert elements(real) == count


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["gate_proj", "down_proj"]], ids="+".join)
def test_dora_adds_magnitudes(targets: list[str]) -> None:
    """One magnitude for each output feature, in shapes and number as PEFT makes them."""
    real = trained(adapted_by_peft(LLAMA, targets, use_dora=True))
    assert ours(LLAMA, *targets, dora=True) == real
    assert len([shape for shape in real if len(shape) == 1]) > 0


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (["w1", "w2"], {}),
        ("all-linear", {"use_dora": True}),
        ("all-linear", {"lora_dropout": 0.1}),
    ],
    ids=["half of a pair", "DoRA", "dropout"],
)
def test_what_peft_refuses_on_fused_experts(targets: str | list[str], options: dict[str, Any]) -> None:
    """PEFT raises, so the rule does."""
    with pytest.raises(ValueError, match=r"fused into|does not work"):
        adapted_by_peft(MIXTRAL, targets, **options)
    adapter = Adapter(
        targets=(targets,) if isinstance(targets, str) else tuple(targets),
        dora=options.get("use_dora", False),
        dropout=options.get("lora_dropout", 0.0),
    )
    with pytest.raises(InputError):
        adapter_weights(read_config(MIXTRAL, "tiny"), adapter)


def test_the_table_of_families_is_pefts() -> None:
    """Every family that the sources read has the former names that PEFT knows for it, and no other."""
    peft = {name: _MOE_TARGET_MODULE_MAPPING.get(base) for name, base in _MODEL_TO_CONVERSION_PATTERN.items()}
    for model_type in readers():
        names = {old: new.replace("gate.weight", "router") for old, new in (peft.get(model_type) or {}).items()}
        assert former_names(model_type) == names, model_type


@pytest.mark.parametrize(("autocast", "itemsize"), [(True, 4), (False, 2)], ids=["upcast-4B", "as-weights-2B"])
@pytest.mark.parametrize("targets", [["q_proj"], ["w1", "w2", "w3"]], ids=["linear", "experts"])
def test_bytes_follow_autocast_adapter_dtype(targets: list[str], autocast: bool, itemsize: int) -> None:
    """PEFT's default turns adapters of BF16 weights to FP32; without it they keep the weights' format."""
    real = with_adapters(built(MIXTRAL), targets, autocast=autocast)
    adapter = Adapter(rank=RANK, targets=tuple(targets), fp32=autocast)
    run = TrainRun(method=Method.LORA, precision=Precision.BF16, adapter=adapter)
    trainable = [p for p in real.parameters() if p.requires_grad]
    assert {p.itemsize for p in trainable} == {itemsize}
    assert adapters(read_config(MIXTRAL, "tiny"), run).bytes == sum(p.nbytes for p in trainable)


def test_adapters_of_a_quantised_base_are_fp32() -> None:
    """PEFT makes them in FP32, for 4-bit weights have no number format of their own; the count is that of LoRA."""
    with torch.device("meta"):
        model = built(LLAMA)
    replace_with_bnb_linear(model, ["lm_head"], BitsAndBytesConfig(load_in_4bit=True))
    model.is_loaded_in_4bit = True
    real = with_adapters(model, "all-linear")
    assert trained(real) == ours(LLAMA, "all-linear")
    assert {p.dtype for p in real.parameters() if p.requires_grad} == {torch.float32}
