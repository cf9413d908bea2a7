"""A user's script that trains on CUDA, run without a GPU."""

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.trace.tiny_models import tiny
from vramcast.app.trace_script import trace_script
from vramcast.cli.run import run
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Category
from vramcast.domain.program import ProgramAccount

SCRIPTS = Path(__file__).parent / "scripts"
TRAINED = {Category.PARAMETERS, Category.GRADIENTS, Category.OPTIMIZER_STATES}


def traced(name: str, *arguments: str, steps: int | None = 3) -> ProgramAccount:
    """The account of one of our scripts on an H100."""
    return trace_script(str(SCRIPTS / name), arguments, device="h100-80gb", steps=steps)


def test_amp_and_a_loader(capsys: pytest.CaptureFixture[str]) -> None:
    """Autocast, GradScaler, clipping, workers and pinned memory: all steps run, and what was patched is listed."""
    account = traced("amp_transformer.py", "--width", "32", steps=None)
    printed = capsys.readouterr()
    assert account.steps == 8 and printed.err.count("loss 1.000") == 8 and not printed.out
    assert set(account.by_category()) >= TRAINED
    assert {"DataLoader: num_workers is 0", "torch.cuda.max_memory_allocated"} <= set(account.patched)
    assert not Path("never-written.pt").exists()
    assert any(note.startswith("amp_transformer.py line") for note in account.not_followed)


def test_the_limit_stops_the_script() -> None:
    """A script without an end is left after so many optimizer steps; a given mask of ones is skipped as on a GPU."""
    account = traced("tiny_llama.py", steps=2)
    assert account.steps == 2
    assert account.peak.name.startswith(("step 2 backward", "step 2 update", "step 1 update"))
    assert "layers.*.mlp.up_proj" in account.by_module()
    assert sum(account.by_category().values()) == account.tiers.process


def test_decisions_without_values() -> None:
    """A loss that nobody has is 1, comparisons with it are false, numbers are finite; each place is named."""
    account = traced("decides_on_loss.py")
    assert account.steps == 3
    lines = {note.partition(":")[0] for note in account.not_followed}
    assert {f"decides_on_loss.py line {line}" for line in (13, 15, 17)} <= lines


def test_trainer(tmp_path: Path) -> None:
    """transformers' Trainer with accumulation and autocast runs as it stands."""
    account = traced("trainer.py", str(tmp_path))
    assert account.steps == 3
    assert set(account.by_category()) >= TRAINED | {Category.LOGITS}


@pytest.mark.parametrize("bits", ["4", "8"])
def test_qlora_as_people_write_it(bits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_pretrained` with bitsandbytes' config, PEFT and Trainer: weights are packed, scales and paged states as they are."""
    monkeypatch.chdir(tmp_path)
    with torch.device("cpu"):
        model = tiny("llama", torch.bfloat16)()
        model.save_pretrained(tmp_path / "tiny")
    account = traced("qlora.py", str(tmp_path / "tiny"), bits)
    linears = [part for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and name != "lm_head"]
    packed = {f"layers.*.{name}.base_layer" for name in ("self_attn.q_proj", "mlp.down_proj")}
    held = account.by_module()
    assert account.steps == 2 and packed <= set(held)
    values = sum(part.weight.numel() for part in linears)
    rest = sum(parameter.numel() for parameter in model.parameters()) - values
    rounded = 512 * 16 * len(linears)  # a small tensor counts as 512 bytes
    expected = values * int(bits) // 8 + 4 * rest
    assert expected <= account.by_category()[Category.PARAMETERS] <= expected + rounded


def test_an_operator_that_cannot_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named with its module and the user's line, above it the user's own frames alone."""
    with pytest.raises(UnsupportedError) as caught:
        traced("counts_classes.py")
    assert caught.value.what == (
        "counts_classes.py line 7: operator aten.bincount.default in module count"
        " cannot be followed: what it returns depends on values, and a traced tensor has none"
    )
    assert run(["trace", str(SCRIPTS / "counts_classes.py")]) == 2
    shown = capsys.readouterr().err
    assert "in main" in shown and "in forward" in shown and "site-packages" not in shown


def test_an_error_of_the_script() -> None:
    """The user's mistake is shown with the operator and the module it happened in."""
    with pytest.raises(InputError) as caught:
        traced("wrong_width.py")
    assert caught.value.what.startswith("wrong_width.py line 5: RuntimeError: ")
    assert caught.value.what.endswith("operator aten.addmm.default in module 1")
    assert "wrong_width.py" in caught.value.hint


def test_everything_is_put_back() -> None:
    """After a script, also one that failed, nothing of torch or of the interpreter is changed."""
    before = torch.cuda.is_available, torch.save, torch.autocast.__init__, sys.argv, sys.path, sys.stdout
    with pytest.raises(InputError):
        traced("wrong_width.py")
    assert before == (torch.cuda.is_available, torch.save, torch.autocast.__init__, sys.argv, sys.path, sys.stdout)
    assert not torch.cuda.is_available()


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments after -- are the script's, --debug too; JSON alone is on stdout; --fits answers in the exit code."""
    script = str(SCRIPTS / "amp_transformer.py")
    assert run(["trace", script, "--gpu", "t4", "--steps", "1", "--json", "--", "--width", "32", "--debug"]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["steps"] == 1 and record["device"] == "t4" and record["verdict"]["status"] == "fits"
    assert printed.err.count("debug True") == 1
    assert run(["trace", script, "--memory", "500MiB", "--steps", "1", "--fits"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("does not fit a device with 500.00 MiB") and "patched, and used" in text
