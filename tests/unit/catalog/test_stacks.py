"""Frameworks and their defaults by version."""

from datetime import date

import pytest

from vramcast.catalog.stacks import all_stacks, find_stack
from vramcast.domain.errors import InputError
from vramcast.domain.run import AttentionKernel, Kernels, Loss, Optimizer, Precision, Recompute
from vramcast.domain.stack import Stack

WORDS = {
    "optimizer": set(Optimizer),
    "recompute": set(Recompute),
    "attention": set(AttentionKernel),
    "loss": set(Loss),
    "kernels": set(Kernels),
    "autocast": {"yes", "no"},
    "adapter_fp32": {"yes", "no"},
    "kbit_upcast": {"yes", "no"},
    "holds_logits": {"yes", "no"},
    "embedding_states": {"fp32"},
    "precision": set(Precision),
}
TRAINING = [stack for stack in all_stacks() if stack.default("optimizer")]


@pytest.mark.parametrize("stack", all_stacks(), ids=lambda stack: f"{stack.name}@{stack.version}")
def test_every_row_says_where_it_is_from(stack: Stack) -> None:
    """A source, a date, and the versions of the packages behind it; its own version is among them where it is a package."""
    assert stack.source
    assert date.fromisoformat(stack.checked) >= date(2026, 1, 1)
    versions = dict(stack.versions)
    assert {"torch", "transformers"} <= set(versions)
    assert (
        versions.get(stack.name.split("-", maxsplit=1)[0], stack.version).split(".")[0] == stack.version.split(".")[0]
    )


@pytest.mark.parametrize("stack", all_stacks(), ids=lambda stack: f"{stack.name}@{stack.version}")
def test_defaults_are_words_of_a_run(stack: Stack) -> None:
    """Every default is an option that exists, perhaps for one method, with a value that it can have."""
    for option, value in stack.defaults:
        method, _, name = option.rpartition(".")
        assert method in ("", "full", "lora", "qlora")
        assert value in WORDS[name]


@pytest.mark.parametrize("stack", TRAINING, ids=lambda stack: f"{stack.name}@{stack.version}")
def test_a_training_stack_leaves_nothing_open(stack: Stack) -> None:
    """All choices that only a framework makes are made."""
    assert all(stack.default(option) for option in WORDS if option not in ("embedding_states", "precision"))


def test_a_stack_without_an_opinion() -> None:
    """None, so that the house decides."""
    assert find_stack("transformers").default("optimizer") is None
    assert find_stack("transformers").default("attention") == "sdpa"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("trl-sft", ("trl-sft", "1.16.0")),
        ("TRL-SFT", ("trl-sft", "1.16.0")),
        ("torch", ("torch", "2.13.0")),
        ("torch@2.13", ("torch", "2.13.0")),
        ("torch@2.15", ("torch", "2.15.0")),
        ("torch@2.15.0", ("torch", "2.15.0")),
        ("hf-trainer@5", ("hf-trainer", "5.23.0")),
    ],
)
def test_names_and_versions(name: str, found: tuple[str, str]) -> None:
    """In any case; a part of a version is enough; without one the oldest row answers, which does not move."""
    stack = find_stack(name)
    assert (stack.name, stack.version) == found


@pytest.mark.parametrize("name", ["keras", "torch@1", "torch@2.1", "trl", "", "@2.13", "x" * 100])
def test_an_unknown_stack_is_refused(name: str) -> None:
    """With all that there are, and the name shortened."""
    with pytest.raises(InputError, match="no stack is called") as caught:
        find_stack(name)
    assert len(caught.value.what) < 80
    assert "trl-sft@1.16.0" in caught.value.hint


def test_workspaces_are_kept_until_torch_2_15() -> None:
    """Then each call takes one of its own."""
    assert {stack.version: stack.kept_workspace for stack in all_stacks() if stack.name == "torch"} == {
        "2.13.0": True,
        "2.15.0": False,
    }
