"""How fast the trace is, beside other tools. Reported, not asserted."""
