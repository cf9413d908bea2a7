"""
The commands and the Python that the documentation shows, run again.

A fenced `console` block holds `$ vramcast …` lines, each followed by what it prints at 80 columns; `> file` keeps the output for
a later command of the page; a line of `...` stands for lines left out. Other programs' commands are not run. The `pycon` blocks of a page are one Python session.

    python -m tests.docs.console PAGE_OR_FOLDER…      rewrites the pages with what the commands print now
"""

import doctest
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from vramcast.cli.run import run

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
SESSION = re.compile(r"(?<=^```pycon\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
PROMPT = "$ "
LEFT_OUT = "..."
TERMINAL = {"COLUMNS": "80", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}


def pages() -> list[Path]:
    """Every page whose commands are kept true."""
    return sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")])


def rewritten(page: str) -> str:
    """`page` with the output of each command, and of each line of Python, as it is now, the same lines left out."""
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder), mock.patch.dict(os.environ, TERMINAL):
        page = BLOCK.sub(lambda block: "".join(_answers(block.group())), page)
        return SESSION.sub(lambda block: _session(block.group(), names), page)


class _Printed(doctest.OutputChecker):
    """Takes down what each example prints, and accepts it."""

    def __init__(self) -> None:
        self.printed: list[str] = []

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        self.printed.append(got)
        return True


def _session(block: str, names: dict[str, object]) -> str:
    checker = _Printed()
    examples = doctest.DocTestParser().get_doctest(block, names, "page", None, 0)
    outcome = doctest.DocTestRunner(checker=checker, verbose=False).run(examples, clear_globs=False)
    assert not outcome.failed, block
    names.update(examples.globs)
    lines = ("\n... ".join(example.source.splitlines()) for example in examples.examples)
    return "".join(f">>> {line}\n{printed}" for line, printed in zip(lines, checker.printed, strict=True))


def _answers(block: str) -> Iterator[str]:
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
        command, _, shown = part.partition("\n")
        yield f"{command}\n" if part else ""
        yield _abridged(_output(command), shown) if command.startswith(f"{PROMPT}vramcast ") else shown


def _output(command: str) -> str:
    words, _, file = command.removeprefix(PROMPT).partition(" > ")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(printed), redirect_stderr(printed):
        run(shlex.split(words)[1:])
    printed.seek(0)
    text = printed.read()
    if file:
        Path(file).write_text(text, encoding="utf-8")
        return ""
    return text


def _abridged(output: str, shown: str) -> str:
    """`output` with the passages left out that `shown` leaves out: each passage between them is found by its first line."""
    passages = _passages(shown.splitlines())
    if len(passages) == 1:
        return output
    lines = output.splitlines()
    kept: list[str] = []
    start = 0
    for index, passage in enumerate(passages):
        if index == len(passages) - 1 and passage:
            start = len(lines) - len(passage)
        elif index and passage:
            start = _find(passage[0], lines, start)
        kept += [LEFT_OUT] if index else []
        kept += lines[start : start + len(passage)]
        start += len(passage)
    return "\n".join(kept) + "\n"


def _passages(lines: Sequence[str]) -> list[list[str]]:
    passages: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == LEFT_OUT:
            passages.append([])
        else:
            passages[-1].append(line)
    return passages


def _find(wanted: str, lines: Sequence[str], start: int) -> int:
    """The next line that is `wanted`, or differs from it only in its numbers."""
    for shape in (str, _without_numbers):
        for index in range(start, len(lines)):
            if shape(lines[index]) == shape(wanted):
                return index
    raise LookupError(f"no command prints this line any more: {wanted!r}")


def _without_numbers(line: str) -> str:
    return re.sub(r"\s*<?\d[\d,.]*", " 0", line)


def main(names: Sequence[str]) -> None:
    """Rewrite these pages, and those in these folders."""
    for name in names:
        place = Path(name)
        for path in sorted(place.glob("*.md")) if place.is_dir() else [place]:
            path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
