"""The command line: one file a command, imported only when it is asked for."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script. Collecting garbage is not worth its time in a process that ends at once."""
    import gc

    gc.disable()
    from vramcast.cli.run import run

    sys.exit(run(sys.argv[1:]))
