"""A model from anywhere, as a ModelSpec."""
