"""The ledger: one SQLite file that is the only truth about a batch."""
