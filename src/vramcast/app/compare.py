"""Two answers side by side."""

from vramcast.compare.difference import Difference, difference

__all__ = ["Difference", "difference"]
