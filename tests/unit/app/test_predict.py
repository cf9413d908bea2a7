"""The use case everything else builds on."""

from typing import Any

import pytest

import vramcast
from tests.models import TINY, model
from vramcast.app.predict import predict
from vramcast.catalog.gpus import find_device
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Category
from vramcast.domain.run import Method, Precision, ServeRun, TrainRun
from vramcast.units import GIB

SMALL = model(TINY)
PHI = 2 * 320 * 256 + 256 + 4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 704 * 256 + 2 * 256)
KV = ServeRun(kv_format=find_format("bf16"))


def test_the_library_is_the_same() -> None:
    """`vramcast.predict` is this function."""
    assert vramcast.predict is predict


def test_a_name_a_size_or_a_model() -> None:
    """A catalog name, a bare size, a ModelSpec."""
    assert predict("llama-3.1-8b").model.parameters == 8_030_261_248
    assert predict("8B").model.parameters == 8 * 10**9
    assert predict(SMALL).model.parameters == PHI


def test_the_house_trains_qlora_as_trl_does() -> None:
    """Method and stack are assumptions like any other."""
    forecast = predict(SMALL)
    assumed = {one.option: one for one in forecast.assumptions}
    assert isinstance(forecast.run, TrainRun)
    assert forecast.run.method is Method.QLORA
    assert (assumed["method"].value, assumed["stack"].value) == ("qlora", "trl-sft@1.16.0")
    assert assumed["method"].reason == assumed["stack"].reason == "house default"


def test_what_was_said_is_not_assumed() -> None:
    """Neither method nor stack."""
    forecast = predict(SMALL, method="full", stack="hf-trainer")
    assert not {"method", "stack"} & {one.option for one in forecast.assumptions}
    assert forecast.stack.name == "hf-trainer"


def test_serving_has_a_stack_of_its_own() -> None:
    """transformers' generate, and no method is assumed."""
    forecast = predict(SMALL, method="serve")
    assert isinstance(forecast.run, ServeRun)
    assert forecast.stack.name == "transformers"
    assert "method" not in {one.option for one in forecast.assumptions}


@pytest.mark.parametrize("stack", ["torch@2.15", find_stack("torch@2.15")], ids=["name", "Stack"])
def test_a_stack_by_name_or_itself(stack: Any) -> None:
    """A version picks the row."""
    assert predict(SMALL, stack=stack).stack.version == "2.15.0"


@pytest.mark.parametrize("run", [TrainRun(precision=Precision.FP32), KV], ids=["train", "serve"])
def test_a_run_of_ones_own_leaves_nothing_to_assume(run: TrainRun | ServeRun) -> None:
    """The forecast is for that run."""
    forecast = predict(SMALL, run)
    assert forecast.run is run
    assert forecast.assumptions == ()
    assert forecast.stack.name == ("transformers" if isinstance(run, ServeRun) else "trl-sft")


def test_a_run_and_options_contradict_each_other() -> None:
    """But for the memory of the device."""
    with pytest.raises(InputError, match="either a run or options"):
        predict(SMALL, TrainRun(), seq_len=512)
    assert predict(SMALL, TrainRun(), memory="24GiB").device is not None


@pytest.mark.parametrize("device", ["rtx-4090", find_device("rtx-4090")], ids=["name", "Device"])
def test_a_device_gives_a_verdict(device: Any) -> None:
    """Fits, with the headroom to its usable memory."""
    forecast = predict(SMALL, device=device)
    assert forecast.verdict is not None
    assert forecast.verdict.fits
    assert forecast.verdict.headroom == find_device("rtx-4090").usable - forecast.tiers.process
    assert predict(SMALL).verdict is None


@pytest.mark.parametrize(("memory", "size"), [("24GiB", 24 * GIB), (24 * GIB, 24 * GIB), ("80 GB", 80 * 10**9)])
def test_memory_instead_of_a_device(memory: Any, size: int) -> None:
    """In bytes or with a unit."""
    forecast = predict(SMALL, memory=memory)
    assert forecast.device is not None
    assert forecast.device.usable == size


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"memory": "24GiB", "device": "t4"}, "two answers to one question"),
        ({"memory": "lots"}, "--memory: not a memory size"),
        ({"memory": 0}, "--memory: a memory size must be above zero"),
        ({"device": "rtx-9999"}, "no device"),
        ({"stack": "keras"}, "no stack is called 'keras'"),
        ({"method": "rlhf"}, "--method cannot be 'rlhf'"),
        ({"max_model_len": 512}, "--max-model-len goes with --method serve"),
        ({"method": "full", "kv_format": "bf16"}, "--kv-format goes with --method serve"),
        ({"method": "serve", "seq_len": 512}, "--seq-len belongs to training"),
        ({"sequence": 512}, "no option is called 'sequence'"),
        ({"method": "lora", "lora_targets": "nothing"}, "no linear layer"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], what: str) -> None:
    """One line, before anything is computed."""
    with pytest.raises(InputError, match=what):
        predict(SMALL, **arguments)


def test_unknown_models_are_refused() -> None:
    """With what a model may be called."""
    with pytest.raises(InputError):
        predict("no-such-model", offline=True)


def test_a_training_step_to_the_byte() -> None:
    """Pure BF16 with SGD: 2Φ of weights at the step, 2Φ of gradients, no states."""
    forecast = predict(SMALL, method="full", precision="bf16", optimizer="sgd", stack="torch")
    step = forecast.instants[-1]
    sizes = dict.fromkeys(Category, 0)
    for term in step.terms:
        sizes[term.category] += term.bytes
    assert sizes[Category.PARAMETERS] == sizes[Category.GRADIENTS] == 2 * PHI
    assert sizes[Category.OPTIMIZER_STATES] == 0
    assert sizes[Category.WORKSPACE] == 2 * (8 * 2**20 + 128 * 2**10)


def test_eight_bit_states_follow_the_trainer() -> None:
    """transformers' Trainer keeps FP32 states for the embedding, a plain loop 8-bit ones."""
    trainer, loop = (
        predict(SMALL, method="full", optimizer="adamw-8bit", stack=stack).instants[-1]
        for stack in ("hf-trainer", "torch")
    )
    states = [sum(t.bytes for t in one.terms if t.category is Category.OPTIMIZER_STATES) for one in (trainer, loop)]
    embedding = 320 * 256
    assert states[0] - states[1] == 2 * (4 * embedding - embedding - 4 * embedding // 256)
