"""Modules trained whole beside adapters, and both implementations of checkpointing."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from tests.trace.test_build import LLAMA, H, L, V
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Phase
from vramcast.domain.run import Adapter, Method, Quantization, Recompute, TrainRun
from vramcast.trace.build import build
from vramcast.trace.quantized import place
from vramcast.trace.recorder import Recorder
from vramcast.trace.session import tracing

SAVED = ("embed_tokens", "lm_head")
LORA = TrainRun(method=Method.LORA, adapter=Adapter(rank=4, targets=("q_proj",)))
QLORA = TrainRun(
    method=Method.QLORA,
    adapter=Adapter(rank=4, targets=("q_proj",)),
    quantization=Quantization(format=find_format("nf4")),
    recompute=Recompute.FULL,
)


def saving(*modules: str) -> TrainRun:
    """The adapters' run with these modules trained whole."""
    return replace(LORA, adapter=Adapter(rank=4, targets=("q_proj",), modules_to_save=modules))


def step(model: torch.nn.Module) -> Recorder:
    """A forward and a backward pass over 2 × 16 tokens."""
    with tracing() as recorder:
        place(model, recorder.device)
        recorder.places.know(model)
        tokens = torch.zeros(2, 16, dtype=torch.long)
        recorder.enter_phase(Phase.FORWARD, "forward")
        loss = model(input_ids=tokens, labels=tokens).loss
        recorder.enter_phase(Phase.BACKWARD, "backward")
        loss.backward()
        assert all((p.grad is not None) is p.requires_grad for p in model.parameters())
    return recorder


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_modules_to_save() -> None:
    """A copy of each, trained in the format of the original, which stays; as in a model with real numbers."""
    model = build(LLAMA, saving(*SAVED)).model
    step(model)
    trained = {name: (p.shape, p.dtype) for name, p in model.named_parameters() if p.requires_grad}
    config = AutoConfig.for_model(**LLAMA)
    real = get_peft_model(
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16),
        LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=list(SAVED), task_type="CAUSAL_LM"),
    )
    assert trained == {name: (p.shape, p.dtype) for name, p in real.named_parameters() if p.requires_grad}
    whole = [shape for name, (shape, _) in trained.items() if "modules_to_save" in name]
    assert whole == [(V, H), (V, H)]
    assert len(trained) == 2 * L + 2


def test_modules_that_the_model_has_not() -> None:
    """They are named."""
    with pytest.raises(InputError, match="score"):
        build(LLAMA, saving("lm_head", "score"))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("run", [TrainRun(recompute=Recompute.FULL), QLORA], ids=["full", "qlora"])
def test_both_implementations_of_checkpointing(run: TrainRun, reentrant: bool) -> None:
    """Each block's input lives to the backward pass, where the block runs once more."""
    recorder = step(build(LLAMA, replace(run, reentrant=reentrant)).model)
    timeline = recorder.timeline()
    runs = Counter(
        (block.phase, block.layer)
        for block in timeline.blocks
        if block.operator == "aten.silu.default" and block.layer >= 0
    )
    assert runs == Counter({(phase, layer): 1 for phase in (Phase.FORWARD, Phase.BACKWARD) for layer in range(L)})
