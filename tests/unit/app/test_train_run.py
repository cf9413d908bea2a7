"""From options and a framework's defaults to a training run."""

from typing import Any

import pytest

from tests.models import LLAMA_8B, model
from vramcast.app.options import Options
from vramcast.app.train_run import choose_train_run
from vramcast.catalog.gpus import find_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Kernels,
    Loss,
    Method,
    Offload,
    Optimizer,
    Precision,
    Recompute,
    TrainRun,
)

LLAMA = model(LLAMA_8B)
FP32_LLAMA = model(LLAMA_8B, dtype="float32")


def chosen(
    method: Method = Method.QLORA,
    stack: str = "trl-sft",
    spec: ModelSpec = LLAMA,
    device: str | None = None,
    **options: Any,
) -> tuple[TrainRun, dict[str, Assumption]]:
    """The run, and what was assumed by option."""
    card = find_device(device) if device else None
    run, assumed = choose_train_run(Options(options), spec, find_stack(stack), card, method, shaped=bool(spec.layers))
    return run, {one.option: one for one in assumed}


def test_everything_said_is_taken() -> None:
    """No assumption is left about what the user said."""
    run, assumed = chosen(
        precision="fp16",
        optimizer="lion-8bit",
        lora_rank=8,
        lora_targets="q_proj, v_proj",
        lora_dropout="0.05",
        dora=True,
        base_format="fp4",
        seq_len=512,
        micro_batch=3,
        accum_steps=2,
        recompute="selective",
        attention="eager",
        loss="fused-linear",
        kernels="fused",
        offload="optimizer",
    )
    assert run.adapter == Adapter(rank=8, targets=("q_proj", "v_proj"), dropout=0.05, dora=True, fp32=False)
    assert run.quantization is not None
    assert run.quantization.format.name == "fp4"
    assert (run.precision, run.optimizer, run.recompute) == (Precision.FP16, Optimizer.LION_8BIT, Recompute.SELECTIVE)
    assert (run.attention, run.loss, run.kernels) == (AttentionKernel.EAGER, Loss.FUSED_LINEAR, Kernels.FUSED)
    assert (run.seq_len, run.micro_batch, run.accum_steps, run.offload) == (512, 3, 2, Offload.OPTIMIZER)
    assert set(assumed) == {"adapter_fp32", "kbit_upcast", "autocast"}


def test_everything_silent_is_written_down() -> None:
    """Each choice with its value and who made it: the framework, the house, or a paper."""
    run, assumed = chosen()
    assert run.seq_len == int(assumed["seq_len"].value) == 2048
    assert run.micro_batch == int(assumed["micro_batch"].value) == 1
    assert run.adapter == Adapter(rank=16, targets=("all-linear",), fp32=False)
    assert assumed["seq_len"].reason == assumed["lora_rank"].reason == "house default"
    assert assumed["optimizer"].reason == "default of trl-sft 1.16.0"
    assert "2305.14314" in assumed["lora_targets"].reason
    assert "2305.14314" in assumed["base_format"].reason
    assert assumed["base_format"].value == "nf4-dq"


@pytest.mark.parametrize(
    ("stack", "method", "expected"),
    [
        ("trl-sft", Method.QLORA, (Optimizer.ADAMW_FUSED, Recompute.FULL, Loss.CHUNKED, True, False)),
        ("trl-sft", Method.LORA, (Optimizer.ADAMW_FUSED, Recompute.FULL, Loss.CHUNKED, False, True)),
        ("hf-trainer", Method.QLORA, (Optimizer.ADAMW_FUSED, Recompute.FULL, Loss.STOCK, True, True)),
        ("hf-trainer", Method.LORA, (Optimizer.ADAMW_FUSED, Recompute.NONE, Loss.STOCK, True, True)),
        ("torch", Method.QLORA, (Optimizer.ADAMW_FOREACH, Recompute.NONE, Loss.STOCK, False, True)),
    ],
)
def test_frameworks_have_defaults(stack: str, method: Method, expected: tuple[object, ...]) -> None:
    """Optimizer, recomputation, loss, autocast, FP32 adapters: some differ by method."""
    run, _ = chosen(method, stack)
    assert run.adapter is not None
    assert (run.optimizer, run.recompute, run.loss, run.autocast, run.adapter.fp32) == expected


@pytest.mark.parametrize(("stack", "upcast"), [("hf-trainer", True), ("trl-sft", True), ("torch", False)])
def test_the_k_bit_upcast_is_the_stacks(stack: str, *, upcast: bool) -> None:
    """PEFT's preparation turns what is not quantised to FP32."""
    run, assumed = chosen(stack=stack)
    assert run.quantization is not None
    assert run.quantization.upcast is upcast
    assert assumed["kbit_upcast"].value == ("yes" if upcast else "no")


@pytest.mark.parametrize(
    ("method", "spec", "device", "precision"),
    [
        (Method.QLORA, LLAMA, None, Precision.BF16),
        (Method.LORA, LLAMA, "rtx-4090", Precision.BF16),
        (Method.QLORA, LLAMA, "t4", Precision.FP16),
        (Method.LORA, FP32_LLAMA, "a100-80gb", Precision.BF16),
        (Method.FULL, LLAMA, None, Precision.BF16),
        (Method.FULL, FP32_LLAMA, None, Precision.AMP_BF16),
        (Method.FULL, LLAMA, "t4", Precision.AMP_FP16),
        (Method.FULL, FP32_LLAMA, "v100", Precision.AMP_FP16),
        (Method.FULL, LLAMA, "mi300x", Precision.BF16),
    ],
)
def test_precision_by_method_checkpoint_and_device(
    method: Method, spec: ModelSpec, device: str | None, precision: Precision
) -> None:
    """Half precision as the checkpoint has it; FP16 where the device has no BF16; FP32 weights where gradients need them."""
    run, assumed = chosen(method, "hf-trainer", spec=spec, device=device)
    assert run.precision is precision
    assert assumed["precision"].value == precision
    if device == "t4":
        assert "T4 has no bf16" in assumed["precision"].reason


@pytest.mark.parametrize(
    ("method", "device", "precision"),
    [
        (Method.FULL, "a100-80gb", Precision.AMP_BF16),
        (Method.LORA, None, Precision.AMP_BF16),
        (Method.QLORA, None, Precision.BF16),
        (Method.FULL, "t4", Precision.AMP_FP16),
    ],
)
def test_trl_loads_a_name_in_fp32(method: Method, device: str | None, precision: Precision) -> None:
    """TRL loads a model given by name in FP32, whatever the checkpoint's format, and trains under autocast."""
    assert chosen(method, "trl-sft", device=device)[0].precision is precision


@pytest.mark.parametrize(
    ("precision", "autocast"),
    [("bf16", True), ("fp16", True), ("fp32", False), ("amp-bf16", False), ("master-bf16", False)],
)
def test_autocast_over_half_weights(precision: str, *, autocast: bool) -> None:
    """Trainers run half-precision weights under autocast too; elsewhere the precision says it all."""
    run, assumed = chosen(Method.FULL, "hf-trainer", precision=precision)
    assert run.autocast is autocast
    assert ("autocast" in assumed) is autocast


def test_full_training_has_no_adapter() -> None:
    """Nor anything assumed about one."""
    run, assumed = chosen(Method.FULL)
    assert (run.adapter, run.quantization) == (None, None)
    assert not {"lora_rank", "lora_targets", "base_format", "adapter_fp32"} & set(assumed)


def test_a_bare_size_has_no_adapter() -> None:
    """Adapters need shapes."""
    run, _ = chosen(Method.LORA, spec=bare_model("8B", 8 * 10**9))
    assert run.adapter is None


@pytest.mark.parametrize(
    ("method", "options", "what"),
    [
        (Method.FULL, {"lora_rank": 8}, "--lora-rank goes with --method lora or qlora"),
        (Method.FULL, {"lora_targets": "mlp"}, "--lora-targets goes with"),
        (Method.FULL, {"lora_dropout": 0.1}, "--lora-dropout goes with"),
        (Method.FULL, {"dora": True}, "--dora goes with"),
        (Method.FULL, {"modules_to_save": "lm_head"}, "--modules-to-save goes with"),
        (Method.FULL, {"reentrant": True, "recompute": "none"}, "--reentrant is a way to recompute"),
        (Method.FULL, {"base_format": "nf4"}, "--base-format goes with --method qlora"),
        (Method.LORA, {"base_format": "nf4"}, "--base-format goes with --method qlora"),
        (Method.LORA, {"precision": "master-bf16"}, "keeps a master copy of trained weights"),
        (Method.QLORA, {"precision": "fp32"}, "quantised base is computed in half precision"),
        (Method.QLORA, {"precision": "amp-bf16"}, "quantised base is computed in half precision"),
        (Method.QLORA, {"base_format": "bf16"}, "QLoRA's base cannot be BF16"),
        (Method.QLORA, {"base_format": "nf5"}, "no number format is called"),
        (Method.QLORA, {"lora_targets": " , "}, "--lora-targets names nothing"),
        (Method.QLORA, {"lora_rank": 0}, "--lora-rank must be a whole number"),
        (Method.QLORA, {"lora_dropout": 1}, "--lora-dropout must be a number"),
        (Method.QLORA, {"optimizer": "adam"}, "--optimizer cannot be 'adam'"),
    ],
)
def test_contradictions_are_refused(method: Method, options: dict[str, Any], what: str) -> None:
    """With the flag that is wrong."""
    with pytest.raises(InputError, match=what):
        chosen(method, **options)


def test_what_few_runs_have() -> None:
    """Nothing unless asked for; modules trained whole as a list with commas."""
    run, _ = chosen(Method.LORA, stack="torch")
    assert run.adapter is not None
    assert (run.adapter.modules_to_save, run.reentrant, run.evaluate, run.save) == ((), False, False, False)
    words = {"modules_to_save": "embed_tokens, lm_head", "reentrant": "yes", "evaluate": True, "save": True}
    run, _ = chosen(Method.LORA, recompute="full", **words)
    assert run.adapter is not None
    assert run.adapter.modules_to_save == ("embed_tokens", "lm_head")
    assert run.reentrant
    assert run.evaluate
    assert run.save


def test_a_switch_that_is_off_contradicts_nothing() -> None:
    """Full training with `dora=False` is full training."""
    run, _ = chosen(Method.FULL, dora=False)
    assert run.adapter is None


def test_a_model_whose_layers_are_not_known_gets_adapters_only_where_the_trace_builds_it() -> None:
    """A bare size has nothing to adapt; a model that the trace makes from its config has."""
    spec, stack, method = bare_model("8B", 8 * 10**9), find_stack("torch"), Method.LORA
    plain, _ = choose_train_run(Options({}), spec, stack, None, method, shaped=False)
    traced, _ = choose_train_run(Options({}), spec, stack, None, method, shaped=True)
    assert plain.adapter is None
    assert traced.adapter is not None
