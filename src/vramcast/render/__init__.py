"""A record in, text out: one file an output form."""
