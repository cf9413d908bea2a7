"""Use cases: what the command line and Python ask for."""
