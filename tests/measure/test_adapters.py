"""LoRA and QLoRA for real, on PEFT and bitsandbytes."""

import gc
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from tests.measure.tiny import LLAMA, lora, run
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.run import Adapter, Method, Precision, Recompute
from vramcast.measure.adapters import with_adapters
from vramcast.measure.model import load
from vramcast.measure.quiet import quiet
from vramcast.measure.real_run import train, trained_model
from vramcast.measure.storages import live_bytes
from vramcast.measure.text import batches, own_text
from vramcast.measure.update import Learning
from vramcast.measure.weight_error import levels

RANK, D, FF, KV, LAYERS = 4, 64, 96, 32, 2
ADAPTERS = LAYERS * RANK * (2 * (D + D) + 2 * (D + KV) + 3 * (D + FF))
TENSORS = LAYERS * 7 * 2
QUANTISED = LAYERS * (2 * D * D + 2 * D * KV + 3 * D * FF)
REST = 2 * 256 * D + LAYERS * 2 * D + D
ROTARY = 2 * 4 * 8
FAST = Learning(rate=1e-2)


def test_lora_trains_adapters_alone() -> None:
    """Two bytes a frozen weight; FP32 adapters, their gradients and moments; nothing else is held between phases."""
    before = live_bytes("cpu") + ROTARY
    measured = train(LLAMA, lora(), device="cpu")
    kept = 2 * (QUANTISED + REST) + (4 + 8) * ADAPTERS + 4 * TENSORS
    assert measured.reading("step 1 update").held - before == kept
    assert measured.reading("step 2 backward").held - before == kept + 4 * ADAPTERS


def test_qlora_holds_half_a_byte_a_weight() -> None:
    """NF4 takes n/2 bytes, 4 for each 64 weights, and a table of 16 levels a tensor; the rest is as with LoRA."""
    levels("nf4")  # bitsandbytes makes a table for the process when it quantises first
    before = live_bytes("cpu") + ROTARY
    measured = train(LLAMA, lora("nf4"), device="cpu")
    quantised = QUANTISED // 2 + 4 * QUANTISED // 64 + LAYERS * 7 * 16 * 4
    kept = quantised + 2 * REST + (4 + 8) * ADAPTERS + 4 * TENSORS
    assert measured.reading("step 1 update").held - before == kept


@pytest.mark.parametrize("name", ["", "nf4-dq", "int8"])
def test_adapters_learn_and_are_loaded_back(name: str, tmp_path: Path) -> None:
    """What was trained is in the folder: on the same frozen weights it gives the loss that was measured."""
    asked = lora(name, evaluate=True)
    measured = train(LLAMA, asked, device="cpu", steps=4, learning=FAST, keep=tmp_path)
    last = next(islice(batches(own_text(), 256, asked.micro_batch, asked.seq_len), 4, None))
    with quiet(), torch.no_grad():
        base: Any = load(LLAMA, asked, "cpu")
        without = base.eval()(input_ids=last, labels=last).loss.item()
        model: Any = PeftModel.from_pretrained(base, tmp_path)
        loss = model.eval()(input_ids=last, labels=last).loss.item()
    assert loss == pytest.approx(measured.evaluation, abs=1e-6)
    assert loss < without - 0.05


def test_a_trained_checkpoint_is_loaded_back(tmp_path: Path) -> None:
    """A whole model is saved as people save it, and a folder is as good as a config."""
    train(LLAMA, run(Precision.FP32), device="cpu", steps=3, learning=FAST, keep=tmp_path)
    fresh, trained = (train(source, run(Precision.FP32), device="cpu", steps=1) for source in (LLAMA, tmp_path))
    assert trained.steps[0].loss < fresh.steps[0].loss - 0.05


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_takes_less_and_computes_the_same(reentrant: bool) -> None:
    """Blocks that are computed again hold less at the end of a forward pass, and lose nothing."""
    gc.collect()
    before = live_bytes("cpu")  # other tests leave some
    plain = train(LLAMA, lora("nf4"), device="cpu")
    again = train(LLAMA, lora("nf4", recompute=Recompute.FULL, reentrant=reentrant), device="cpu")
    assert [one.loss for one in again.steps] == pytest.approx([one.loss for one in plain.steps], abs=1e-3)
    assert again.reading("step 2 forward").held - before < 0.7 * (plain.reading("step 2 forward").held - before)
    assert again.peak.allocated < plain.peak.allocated


def test_targets_by_their_canonical_names() -> None:
    """GPT-2 calls two layers c_proj: the words attention and mlp tell them apart."""
    config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 256}
    found = {}
    for word in ("attention", "mlp"):
        with quiet():
            model = trained_model(config, run(method=Method.LORA, adapter=Adapter(targets=(word,))), "cpu")
        names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        found[word] = {name.split(".h.0.")[1].partition(".lora")[0] for name in names}
    assert found == {"attention": {"attn.c_attn", "attn.c_proj"}, "mlp": {"mlp.c_fc", "mlp.c_proj"}}


def test_what_cannot_be_adapted_or_stored() -> None:
    """Targets that no layer has, and a format that bitsandbytes has not, are refused with what there is."""
    with quiet():
        model = load(LLAMA, run(), "cpu")
        with pytest.raises(InputError, match="no linear layer is called wrong"):
            with_adapters(model, Adapter(targets=("wrong",)), torch.bfloat16)
        with pytest.raises(UnsupportedError, match="stores no weights as mxfp4"):
            load(LLAMA, lora("mxfp4"), "cpu")
