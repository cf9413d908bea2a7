"""The real training and inference code, run on a device that stores nothing. Needs the `trace` extra."""
