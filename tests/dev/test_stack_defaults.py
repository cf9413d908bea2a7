"""Rows of the stack catalog, and a constant of the rules, against the packages that they were read from."""

import inspect
from dataclasses import fields
from importlib.metadata import version

import pytest
from bitsandbytes.optim import AdamW8bit
from peft import get_peft_model
from transformers import TrainingArguments

from vramcast.catalog.stacks import all_stacks, find_stack
from vramcast.domain.stack import Stack
from vramcast.rules.optimizer import SMALLEST_8BIT

INSTALLED = ("bitsandbytes", "peft", "transformers")
CURRENT = [stack for stack in all_stacks() if dict(stack.versions)["torch"] == version("torch").partition("+")[0]]


def trainers_default(name: str) -> object:
    """The default of one of transformers' training arguments."""
    (found,) = [field.default for field in fields(TrainingArguments) if field.name == name]
    return found


@pytest.mark.parametrize("stack", CURRENT, ids=lambda stack: f"{stack.name}@{stack.version}")
def test_versions_are_those_that_were_read(stack: Stack) -> None:
    """Every package that a row names is the installed one; when it moves, the row is to be read again."""
    named = {name: number for name, number in stack.versions if name in INSTALLED}
    assert named == {name: version(name) for name in named}


def test_the_trainer_steps_fused_and_does_not_recompute() -> None:
    """torch's fused AdamW, and no gradient checkpointing unless PEFT's k-bit preparation turns it on."""
    stack = find_stack("hf-trainer")
    assert trainers_default("optim") == "adamw_torch_fused"
    assert stack.default("optimizer") == "adamw-fused"
    assert not trainers_default("gradient_checkpointing")
    assert stack.default("recompute") == "none"


def test_peft_upcasts_adapters() -> None:
    """Unless it is told not to."""
    assert inspect.signature(get_peft_model).parameters["autocast_adapter_dtype"].default is True
    assert all(find_stack(name).default("adapter_fp32") == "yes" for name in ("torch", "hf-trainer", "trl-sft"))


def test_the_smallest_tensor_with_eight_bit_states() -> None:
    """bitsandbytes' own default."""
    assert inspect.signature(AdamW8bit).parameters["min_8bit_size"].default == SMALLEST_8BIT
