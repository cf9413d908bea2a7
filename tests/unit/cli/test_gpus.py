"""`vramcast gpus` on the command line."""

import json

import pytest
from click.testing import CliRunner, Result

from vramcast.cli.gpus import gpus
from vramcast.domain.errors import InputError


def run(*arguments: str, **environment: str) -> Result:
    """The command, with these arguments and environment variables."""
    return CliRunner(env={"COLUMNS": "80", **environment}).invoke(gpus, arguments)


def names(*arguments: str) -> list[str]:
    """Names of the devices in the command's JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0
    return [device["name"] for device in json.loads(result.stdout)["devices"]]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_to_the_terminal(width: int) -> None:
    """All devices, no line wider than the terminal."""
    result = run(COLUMNS=str(width))
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= width
    assert len(result.stdout.splitlines()) > 75


def test_a_name_shows_all_of_one_device() -> None:
    """Facts with their sources, also for a name with spaces and the maker in front."""
    page = run("rtx-4090").stdout
    assert page.startswith("NVIDIA GeForce RTX 4090\n")
    assert "24081MiB" in page
    assert "see also          rtx-4090-d, rtx-4090-laptop" in page
    assert run("NVIDIA GeForce RTX 4090").stdout == page


def test_a_filter_lists_the_devices_whose_names_hold_it() -> None:
    """A part of a name, of a label or the maker; a whole name means one device."""
    assert names("h200-") == names("H200") == ["h200-141gb-sxm"]
    assert names("a800-80gb-") == ["a800-80gb-sxm"]
    assert set(names("laptop")) >= {"rtx-4090-laptop", "rtx-5090-laptop"}
    assert all(name.startswith(("mi", "rx", "w", "r9")) for name in names("amd"))
    assert len(names()) == len(names("nvidia")) + len(names("amd"))


def test_min_memory_counts_memory_as_sold() -> None:
    """24GiB finds 24 GB cards; decimal sizes work; with a filter both hold."""
    assert "rtx-4090" in names("--min-memory", "24GiB")
    assert "rtx-4080" not in names("--min-memory", "24GiB")
    assert names("--min-memory", "24GB") == names("--min-memory", "23GiB")
    assert names("h100", "--min-memory", "90GiB") == ["h100-94gb-nvl"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("rtx 4900",), "no device is called 'rtx 4900'"),
        (("-",), "no device is called '-'"),
        (("--min-memory", "much"), "not a memory size"),
        (("--min-memory", "0GiB"), "above zero"),
        (("--min-memory", "1TiB"), "no such device has 1,024.00 GiB"),
        (("4090", "--min-memory", "80GiB"), "no such device has 80.00 GiB"),
    ],
)
def test_bad_input_is_an_input_error_with_a_hint(arguments: tuple[str, ...], what: str) -> None:
    """One line that says what is wrong, one that says what to try."""
    error = run(*arguments).exception
    assert isinstance(error, InputError)
    assert what in error.what
    assert error.hint


def test_no_color_is_honoured() -> None:
    """NO_COLOR takes the escape sequences away even where colour is forced."""
    runner = CliRunner(env={"COLUMNS": "80"})
    assert "\x1b" in runner.invoke(gpus, ["h100-80gb-"], color=True).stdout
    assert "\x1b" not in runner.invoke(gpus, ["h100-80gb-"], color=True, env={"NO_COLOR": "1"}).stdout
