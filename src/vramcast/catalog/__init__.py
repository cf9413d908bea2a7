"""Dated facts, each with its source, and their loaders."""
