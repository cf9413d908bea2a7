"""
The table of what kernels take for themselves.

    python -m tests.trace.kernel_table PAGE      rewrites the page
"""

import sys
from pathlib import Path

from vramcast.trace.kernels import entries

HEAD = """# What kernels take for themselves

Bytes that an operator's CUDA kernel allocates while it runs, and that no tool that watches operators can see. Each line is an entry of
`src/vramcast/trace/kernels/`, with its own words; `python -m tests.trace.kernel_table docs/trace/kernels.md` rewrites this page.

| entry | operators | formula | source | exactness | ignores |
|---|---|---|---|---|---|
"""


def table() -> str:
    """The page."""
    rows = (
        (one.name, f"{len(one.operators)}: `{one.operators[0]}` …", one.formula, one.source, one.exactness, one.ignores)
        for one in entries()
    )
    return HEAD + "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
