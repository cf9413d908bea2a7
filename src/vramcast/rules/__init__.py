"""Closed forms, one file a memory term."""
