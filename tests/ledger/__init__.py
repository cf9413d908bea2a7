"""The ledger: everything about measuring on a GPU but the GPU."""
