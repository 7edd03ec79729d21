"""Adapters against the real thing: SQLite in a temporary folder, servers on loopback."""
