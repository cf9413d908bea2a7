"""The entry point, as a user finds it."""

import subprocess
import sys
from pathlib import Path

import pytest

import vramcast
from tests.measure.tiny import LLAMA, lora, run
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError
from vramcast.domain.run import ServeRun

QUIET = """
import vramcast
from tests.measure.tiny import LLAMA, lora
print(len(vramcast.measure.run(LLAMA, lora("nf4"), device="cpu", steps=1).steps))
"""
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import vramcast
from vramcast.domain.errors import InputError
for call in (vramcast.measure, lambda: vramcast.measure.run({}, vramcast.TrainRun())):
    try:
        call()
    except InputError as error:
        print(error.what, "|", error.hint)
"""


def said(code: str) -> tuple[str, str]:
    """What a new interpreter prints, and what it complains about."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_a_run_is_trained_or_served() -> None:
    """One function for both kinds; fewer layers take less."""
    whole, one = (vramcast.measure.run(LLAMA, run(), device="cpu", layers=layers, steps=1) for layers in (None, 1))
    assert len(whole.steps) == 1
    assert one.reading("load").held < whole.reading("load").held
    assert whole.device == "cpu"
    assert whole.context is None
    served = ServeRun(kv_format=find_format("bf16"), weight_format=find_format("bf16"), max_model_len=16)
    assert vramcast.measure.run(LLAMA, served, device="cpu").cache_bytes > 0


def test_progress_is_told_step_by_step() -> None:
    """Who waits sees each step when it is done."""
    seen: list[float] = []
    measured = vramcast.measure.run(
        LLAMA, lora(), device="cpu", steps=3, progress=lambda step: seen.append(step.loss), seed=1
    )
    assert seen == [step.loss for step in measured.steps]
    assert measured.step_seconds > 0


def test_a_folder_keeps_its_layers() -> None:
    """A checkpoint is not shortened."""
    with pytest.raises(InputError, match="the layers it has"):
        vramcast.measure.run(Path("somewhere"), run(), layers=1)


def test_nothing_is_printed() -> None:
    """Libraries and the profiler have their say on a run by hand; here only we speak."""
    assert said(QUIET) == ("1\n", "")


def test_without_the_extra_it_says_what_to_install() -> None:
    """The base install knows no torch, and says how to get it."""
    lines = said(WITHOUT_TORCH)[0].splitlines()
    assert lines == ["a measurement needs packages that are not installed: torch | pip install 'vramcast[trace]'"] * 2
