"""Every line of a derivation that is pure arithmetic comes to the bytes behind it."""

import contextlib
import io
import re
import shlex

import pytest

from vramcast.cli.run import run

RUNS = (
    "llama-3.1-8b --method full --stack torch",
    "llama-3.1-8b --method full --precision amp-bf16 --optimizer adamw-8bit --attention eager",
    "deepseek-v2-lite --method full --stack torch",
    "gemma-3-4b --method lora --recompute none",
    "mixtral-8x7b --method qlora",
    "qwen3-next-80b-a3b --method lora",
    "gpt2 --method full --stack hf-trainer",
    "jamba-v0.1 --method qlora --recompute none",
    "phi-3-mini-4k --method lora --lora-targets qkv_proj --loss fused-linear",
    "gpt-oss-20b --method full",
    "llama-3.1-8b --method serve",
)
SIX_DIGITS = 1e-5  # numbers such as 0.515869 are printed with six
EQUATION = re.compile(r"= (?P<left>[^=]+) = (?P<bytes>[\d,]+) B$", re.MULTILINE)
ARITHMETIC = re.compile(r"[\d.()*+\- ]+")


def equations(text: str) -> list[tuple[str, int]]:
    """(arithmetic, bytes) of each equation whose letters all have become numbers."""
    joined = re.sub(r"\n\s+= ", " = ", text)
    found = []
    for match in EQUATION.finditer(joined):
        left = match["left"].replace(",", "").replace("·", "*").replace("⌊", "(").replace("⌋", ")")
        if ARITHMETIC.fullmatch(left):
            found.append((left, int(match["bytes"].replace(",", ""))))
    return found


@pytest.mark.parametrize("words", RUNS)
def test_numbers_come_to_the_bytes(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A formula with its letters replaced, worked out, is the figure printed beside it."""
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["explain", *shlex.split(words)]) == 0
    checked = equations(out.getvalue())
    assert len(checked) > 4
    for arithmetic, size in checked:
        assert eval(arithmetic) == pytest.approx(size, rel=SIX_DIGITS, abs=1), arithmetic
