"""The version, below every room that prints it."""

__version__ = "0.1.0"
