"""`vramcast dtypes` as a user meets it."""

import json

import pytest
from click.testing import CliRunner, Result

from vramcast.cli.dtypes import dtypes
from vramcast.domain.errors import InputError


def run(*arguments: str, color: bool = False, **environment: str) -> Result:
    """The command's result with these arguments and environment variables."""
    return CliRunner().invoke(dtypes, arguments, env={"NO_COLOR": "", **environment}, color=color)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("arguments", [(), ("bf16",), ("--demo",)], ids=str)
def test_output_fits_the_terminal(arguments: tuple[str, ...], width: int) -> None:
    """Table, page and demonstration keep to the width that COLUMNS states."""
    result = run(*arguments, COLUMNS=str(width))
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= width


def test_an_alias_shows_one_format() -> None:
    """`torch.bfloat16` is BF16."""
    assert run("torch.bfloat16").output.startswith("BF16 (bfloat16)\n")


@pytest.mark.parametrize("arguments", [(), ("fp16",), ("--demo",)], ids=str)
def test_no_color_is_honoured(arguments: tuple[str, ...]) -> None:
    """Titles are bold on a terminal, and plain where NO_COLOR is set."""
    assert "\x1b[1m" in run(*arguments, color=True).output
    assert "\x1b" not in run(*arguments, color=True, NO_COLOR="1").output


def test_json_of_all_and_of_one() -> None:
    """`--json` prints one document with a list of formats, of one where a name is given."""
    assert len(json.loads(run("--json").output)["formats"]) > 20
    (one,) = json.loads(run("nf4-dq", "--json").output)["formats"]
    assert one["bits_per_value"] == 4.126953125


def test_demo_shows_overflow_underflow_and_rounding() -> None:
    """The three topics with their values, and the reason for FP32 masters."""
    output = run("--demo", COLUMNS="80").output
    lines = {" ".join(line.split()) for line in output.splitlines()}
    assert "65520 inf 65536 half a step further" in lines
    assert "gradient 1e-8 0 1.0012e-8 lost without loss scaling" in lines
    assert "1 + 2^-8 1.00391 1 half of BF16's epsilon" in lines
    assert "the same, 1,000 times 0.0221863 1 exact: 0; use FP32 masters" in lines


def test_demo_as_json_is_valid_json() -> None:
    """An infinity is a word, since JSON has no such number; all else is numbers."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    record = json.loads(run("--demo", "--json").output, parse_constant=refuse)
    by_expression = {row["expression"]: row for row in record["roundings"]}
    assert by_expression["70000"]["fp16"] == "inf"
    assert by_expression["70000"]["bf16"] == 70144
    assert len(record["quantization_errors"]) == 4


def test_an_unknown_name_is_an_input_error() -> None:
    """The error that the command line turns into one line and exit 2."""
    error = run("float17").exception
    assert isinstance(error, InputError)
    assert error.what == "no number format is called 'float17'"


def test_demo_takes_no_name() -> None:
    """Both at once is a usage error, exit 2."""
    assert run("bf16", "--demo").exit_code == 2
