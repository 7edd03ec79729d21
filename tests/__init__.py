"""The tests: unit (pure), integration (real SQLite, real loopback server), acceptance (the command line)."""
