"""`python -m vramcast`, for launchers that run modules."""

from vramcast.cli import main

main()
