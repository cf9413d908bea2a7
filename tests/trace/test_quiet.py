"""What a user sees of the libraries that are traced: nothing."""

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from vramcast.trace.quiet import LIBRARIES, quiet

EXPERTS: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "moe_intermediate_size": 32,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_hidden_layers": 2,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 128,
}
RUNS = (
    ("--method", "qlora", "--seq-len", "16"),
    ("--method", "lora", "--seq-len", "16"),
    ("--method", "serve", "--max-num-seqs", "2", "--max-model-len", "16"),
)


@pytest.mark.parametrize("words", RUNS, ids=[words[1] for words in RUNS])
def test_a_trace_says_its_answer_and_nothing_else(words: tuple[str, ...], tmp_path: Path) -> None:
    """No warning of any kind reaches stderr, though Python was told to show all."""
    (tmp_path / "config.json").write_text(json.dumps(EXPERTS))
    code = "import sys; from vramcast.cli.run import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, "predict", str(tmp_path), "--exact", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "trace" in done.stdout


def test_levels_and_filters_are_put_back() -> None:
    """Also after a failure; other code's warnings are heard all the while."""
    before = {name: logging.getLogger(name).level for name in LIBRARIES}

    def failing() -> None:
        with quiet():
            assert not logging.getLogger("transformers.generation").isEnabledFor(logging.WARNING)
            warnings.warn_explicit("theirs", UserWarning, "a.py", 1, module="peft.tuners")
            warnings.warn_explicit("ours", UserWarning, "b.py", 1, module="torchlike.own")

    with pytest.raises(UserWarning, match="ours"):
        failing()
    assert {name: logging.getLogger(name).level for name in LIBRARIES} == before
    with pytest.raises(UserWarning, match="theirs"):
        warnings.warn_explicit("theirs", UserWarning, "a.py", 1, module="peft.tuners")
