"""`vramcast explain`, `methods` and `compare` on the command line."""

import json
from pathlib import Path

import pytest

from vramcast.cli.run import run


def out(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Stdout of the command, which must succeed silently."""
    assert run(words) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    return text


def test_explain_takes_the_run_of_predict(capsys: pytest.CaptureFixture[str]) -> None:
    """The same flags, the same verdict, and the formulas."""
    words = ("llama-3.1-8b", "--method", "lora", "--precision", "bf16", "--gpu", "rtx-4090")
    verdict = out(capsys, "predict", *words).splitlines()[0]
    text = out(capsys, "explain", *words)
    assert text.splitlines()[0] == verdict
    assert "= 2·8,030,261,248" in text


def test_explain_speaks_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    """`--lang zh`; English is what there is without it."""
    assert "优化器状态" in out(capsys, "explain", "llama-3.1-8b", "--lang", "zh")
    assert "优化器状态" in out(capsys, "predict", "llama-3.1-8b", "--lang", "zh")
    assert "优化器状态" not in out(capsys, "explain", "llama-3.1-8b")


def test_methods_takes_what_all_four_share(capsys: pytest.CaptureFixture[str]) -> None:
    """A rank changes LoRA's row; JSON on request."""
    record = json.loads(out(capsys, "methods", "llama-3.1-8b", "--lora-rank", "64", "--json"))
    lora = next(one for one in record["methods"] if one["name"] == "lora")
    assert lora["parts"][1]["label"].startswith("adapters (rank 64")
    assert "full, pure BF16" in out(capsys, "methods", "llama-3.1-8b")


def test_compare_takes_files_and_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file that predict wrote is the same as the run in words."""
    path = tmp_path / "lora.json"
    path.write_text(out(capsys, "predict", "llama-3.1-8b", "--method", "lora", "--json"), encoding="utf-8")
    lora, qlora = "llama-3.1-8b --method lora", "llama-3.1-8b --method qlora --lora-targets 'q_proj, v_proj'"
    from_file = json.loads(out(capsys, "compare", str(path), qlora, "--json"))
    assert from_file == json.loads(out(capsys, "compare", lora, qlora, "--json"))
    assert from_file["delta"] < 0
    assert "GiB less" in out(capsys, "compare", str(path), qlora)
    assert "少需要" in out(capsys, "compare", str(path), qlora, "--lang", "zh")


@pytest.mark.parametrize(
    ("before", "what", "hint"),
    [
        ("llama-3.1-8b --no-such", "no such option", "vramcast predict --help"),
        ("", "missing argument 'MODEL'", "vramcast predict --help"),
        ("llama-3.1-8b 'open", "No closing quotation", "close the quotes"),
        ("missing.json", "no such file", ""),
    ],
)
def test_compare_says_what_is_wrong_with_a_run(
    before: str, what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and where to look."""
    assert run(["compare", before, "llama-3.1-8b"]) == 2
    err = capsys.readouterr().err
    assert what in err
    assert hint in err
    assert len(err.splitlines()) <= 2


def test_compare_refuses_json_that_is_no_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A model's config is JSON too."""
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama"}', encoding="utf-8")
    assert run(["compare", str(path), "llama-3.1-8b"]) == 2
    assert "config.json: not a vramcast report" in capsys.readouterr().err
