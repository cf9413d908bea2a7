"""One report minus another."""
