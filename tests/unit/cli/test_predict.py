"""`vramcast predict` on the command line."""

import json
import shlex

import pytest

from vramcast.app.options import NAMES
from vramcast.app.predict import predict
from vramcast.cli.commands import vramcast
from vramcast.cli.options import FLAGS, RunOption
from vramcast.cli.predict import predict as command
from vramcast.cli.run import run
from vramcast.domain.report import report_of
from vramcast.render.assumed import WITHOUT_FLAG
from vramcast.render.json import write_report

QLORA = ("predict", "llama-3.1-8b", "--method", "qlora", "--gpu", "rtx-4090")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def out(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Stdout of the command; stderr must be empty."""
    assert run(words) == code
    text, errors = capsys.readouterr()
    assert errors == ""
    return text


def test_every_option_of_predict_has_a_flag() -> None:
    """The command line can say whatever the library can."""
    flags = {parameter.name for parameter in command.params if isinstance(parameter, RunOption)}
    assert flags == {*NAMES, "gpu", "stack", "offline", "engine", "exact"}
    assert len(flags) == len(FLAGS) + 2


def test_the_flags_reach_the_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """The same words give the same report in the shell and in Python."""
    words = (
        "predict llama-3.1-8b --method lora --precision bf16 --optimizer adamw-8bit --lora-rank 8 --lora-targets "
        "q_proj,v_proj --lora-dropout 0.1 --dora --seq-len 1024 --micro-batch 2 --accum-steps 4 --recompute none "
        "--attention flash --loss stock --kernels fused --offload none --memory 24GiB --stack hf-trainer --json"
    )
    forecast = predict(
        "llama-3.1-8b",
        method="lora",
        precision="bf16",
        optimizer="adamw-8bit",
        lora_rank=8,
        lora_targets="q_proj,v_proj",
        lora_dropout=0.1,
        dora=True,
        seq_len=1024,
        micro_batch=2,
        accum_steps=4,
        recompute="none",
        attention="flash",
        loss="stock",
        kernels="fused",
        offload="none",
        memory=24 * 2**30,
        stack="hf-trainer",
    )
    assert out(capsys, *words.split()) == write_report(report_of(forecast)) + "\n"


def test_the_flags_of_serving_reach_the_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """As above, for a served model."""
    words = (
        "predict llama-3.1-8b --method serve --max-model-len 8192 --max-num-seqs 4 --prefill-tokens 2048 "
        "--weight-format int8 --kv-format fp8-e4m3 --gpu a100 --format json"
    )
    options = {
        "max_model_len": 8192,
        "max_num_seqs": 4,
        "prefill_tokens": 2048,
        "weight_format": "int8",
        "kv_format": "fp8-e4m3",
    }
    forecast = predict("llama-3.1-8b", device="a100", method="serve", **options)
    assert json.loads(out(capsys, *words.split())) == json.loads(write_report(report_of(forecast)))


def test_fits_turns_no_into_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the flag an answer is an answer; with it, only a fit is 0."""
    full = ("predict", "llama-3.1-8b", "--method", "full", "--gpu", "rtx-4090")
    assert out(capsys, *full).startswith("does not fit NVIDIA GeForce RTX 4090: needs ")
    assert out(capsys, *full, "--fits", code=1).startswith("does not fit")
    assert out(capsys, *QLORA, "--fits").startswith("fits NVIDIA GeForce RTX 4090: needs ")
    assert json.loads(out(capsys, *full, "--fits", "--json", code=1))["verdict"]["fits"] is False


def test_the_next_command_carries_the_users_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """`explain` with the flags that were given, none that were not, output flags left out."""
    text = out(capsys, *QLORA, "--lora-targets", "q_proj, v_proj", "--lang", "en")
    line = text.splitlines()[-1].strip()
    asked = ["--gpu", "rtx-4090", "--lora-targets", "q_proj, v_proj"]
    assert shlex.split(line) == ["vramcast", "explain", "llama-3.1-8b", "--method", "qlora", *asked]


def test_without_a_device_the_next_command_names_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The question that is left open."""
    assert "vramcast predict llama-3.1-8b --gpu " in out(capsys, "predict", "llama-3.1-8b")


def test_what_does_not_fit_gets_changes_that_were_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """The command that is proposed gives what it promises."""
    asked = "predict llama-3.1-8b --method lora --precision bf16 --recompute none --gpu rtx-4090"
    text = out(capsys, *asked.split())
    lines = text.splitlines()
    promise = next(line for line in lines if line.startswith("  --recompute full: needs "))
    proposed = lines[lines.index(promise) + 1].strip()
    answer = out(capsys, *shlex.split(proposed)[1:])
    assert "--recompute full" in proposed
    assert answer.startswith("fits")
    needed = promise.split("needs ")[1].split(",")[0]
    assert f"needs {needed}" in answer


def test_markdown_ends_with_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """So that who reads the issue can ask again."""
    text = out(capsys, *QLORA, "--format", "markdown")
    assert text.startswith("**fits** NVIDIA GeForce RTX 4090: needs ")
    assert text.endswith("```sh\nvramcast predict llama-3.1-8b --method qlora --gpu rtx-4090\n```\n")


def test_the_help_puts_flags_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    """Every flag is there, what describes the run before what describes the output."""
    text = out(capsys, "predict", "--help")
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["The run:", "Training:", "LoRA and QLoRA:", "Serving (--method serve):", "Output:"]
    assert all(f"--{name.replace('_', '-')}" in text for name in NAMES)
    assert vramcast.name == "vramcast"


def test_what_is_assumed_has_a_flag_or_is_known_to_have_none() -> None:
    """A user can change every assumption that a forecast prints as a flag."""
    flags = {parameter.name for parameter in command.params}
    for method in ("full", "lora", "qlora", "serve"):
        for assumption in predict("llama-3.1-8b", method=method).assumptions:
            assert assumption.option in flags or assumption.option in WITHOUT_FLAG
