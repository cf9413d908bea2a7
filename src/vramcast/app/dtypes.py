"""Number formats: all of them, or one by name."""

from vramcast.catalog.number_formats import all_formats, find_format

__all__ = ["all_formats", "find_format"]
